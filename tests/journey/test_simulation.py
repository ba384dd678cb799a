"""`pmcp simulate` on a whole deployment with a scripted model."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pmcp_client
from pmcp_local.cli import run
from pmcp_local.scenario import Scenario, disappointments, read_record
from pmcp_local.simulation import simulate
from tests.journey.conftest import World, new_player


async def cast(stack: World, count: int) -> tuple[str, ...]:
    """Fresh personas: nobody has tired them."""
    async with pmcp_client.connect(stack.gateways[0]) as client:
        made = [
            await client.call("persona.create", {"name": f"Actor {new_player()}", "charisma": 14 + number})
            for number in range(count)
        ]
    return tuple(persona["name"] for persona in made)


async def test_a_scenario_plays_to_its_end_and_meets_its_expectations(stack: World) -> None:
    scenario = Scenario.model_validate(
        {
            "personas": await cast(stack, 3),
            "topics": ["magic"],
            "minutes": 1,
            "token_budget": 90,
            "max_conversations": 1,
            "seed": 3,
            "expect": {"min_turns": 3, "all_speak": True, "no_fallback": True, "ends": ["farewell"]},
        }
    )
    lines: list[str] = []
    record = await asyncio.to_thread(simulate, stack.gateways[0], scenario, lines.append)
    assert disappointments(record) == []
    assert record.turns[-1].response_type == "closing"
    assert all(seconds > 0 for seconds in record.conversations[0].cooldowns.values())
    assert any("talk about magic" in line for line in lines)


async def test_the_same_seed_brings_the_same_people_together(stack: World) -> None:
    async def who(names: tuple[str, ...]) -> list[tuple[int, int]]:
        scenario = Scenario.model_validate(
            {"personas": names, "token_budget": 200, "max_turns": 6, "max_conversations": 3, "seed": 11, "minutes": 1}
        )
        record = await asyncio.to_thread(simulate, stack.gateways[0], scenario, lambda line: None)
        return [(names.index(a), names.index(b)) for a, b in (one.participants for one in record.conversations)]

    assert await who(await cast(stack, 4)) == await who(await cast(stack, 4))


async def test_the_command_prints_a_summary_and_a_record_is_shown_again_without_a_server(
    stack: World, tmp_path: Path
) -> None:
    names, record = await cast(stack, 2), tmp_path / "record.json"
    words = ["simulate", "--url", stack.gateways[0], "--personas", ",".join(names), "--topic", "stories"]
    code = await asyncio.to_thread(run, [*words, "--turns", "2", "--minutes", "1", "--record", str(record)])
    assert code == 0
    assert len(read_record(record).turns) == 2
    assert await asyncio.to_thread(run, ["simulate", "--replay", str(record)]) == 0
