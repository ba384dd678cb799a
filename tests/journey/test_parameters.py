"""Every parameter does what it says, whichever method has it: names for ids, whose data is meant, bounds, contents."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from pydantic import ValidationError

import pmcp_client
from pmcp_common.contracts.methods import METHODS
from tests.journey.conftest import World

REFERENCES = ("persona_id", "persona1_id", "persona2_id", "target_persona", "target_persona_id")
CONTENTS: dict[str, Any] = {
    "query": "the harbour",
    "content": "The harbour froze over.",
    "message": "Good evening",
    "description": "Somebody else now.",
    "mood": 0.2,
}
"""What methods ask for besides a persona."""
LAST = ("persona.delete",)
OF_MEMORY = frozenset({"memory.get", "memory.edit", "memory.pin", "memory.merge", "memory.forget"})
"""These name a memory, not only a persona."""


def references(method: str) -> list[str]:
    return [name for name in REFERENCES if name in METHODS[method].params.model_fields]


async def make(client: pmcp_client.Client, **fields: Any) -> dict[str, Any]:
    return await client.call("persona.create", {"name": f"Mira {uuid.uuid4().hex[:8]}"} | fields)


async def test_a_name_in_any_case_does_wherever_an_id_does(aria: pmcp_client.Client) -> None:
    one, other = await make(aria), await make(aria)
    names = {name: one["name"].swapcase() for name in REFERENCES}
    names |= {name: other["name"].upper() for name in ("persona2_id", "target_persona", "target_persona_id")}
    asked = [method for method in METHODS if references(method) and method not in OF_MEMORY]
    for method in sorted(asked, key=LAST.__contains__):
        fields = METHODS[method].params.model_fields
        chosen = [name for name in references(method) if method != "relationship.update" or name != "persona_id"]
        chosen = [name for name in chosen if method != "relationship.get" or name != "persona_id"]
        params = {name: names[name] for name in chosen}
        params |= {name: value for name, value in CONTENTS.items() if name in fields}
        if METHODS[method].result is None:
            answer = await streamed(aria, method, params)
        else:
            answer = await aria.call(method, params)
        assert answer, method


async def streamed(client: pmcp_client.Client, method: str, params: dict[str, Any]) -> dict[str, Any]:
    stream = await client.stream(method, params)
    await stream.text()
    return stream.terminal or {}


OF_PLAYER = sorted(name for name, method in METHODS.items() if "player_id" in method.params.model_fields)


@pytest.mark.parametrize("method", OF_PLAYER)
def test_no_method_lets_a_player_be_a_persona_and_every_one_knows_the_sender(method: str) -> None:
    params = {name: "x" for name, field in METHODS[method].params.model_fields.items() if field.is_required()}
    for key in ("player_id", "sender"):
        with pytest.raises(ValidationError) as refused:
            METHODS[method].params.model_validate({**params, key: "persona:aria"})
        assert "must not begin with persona:" in str(refused.value)


MADE: dict[str, Any] = {
    "full_name": "Mira of the Lake",
    "description": "Mira is a ferrywoman.",
    "personality_traits": {"friendliness": 7, "curiosity": 6, "temper": "slow"},
    "topic_preferences": {"boats": 90, "weather": 70},
    "charisma": 17,
    "intelligence": 9,
    "social_rank": "peasant",
    "priority": "casual",
    "energy": 180,
    "available_time": 900,
    "background": "Born on a boat.",
    "backstory": "She never learned to swim.",
    "speaking_style": "Slow.",
    "interests": ["fish soup"],
    "goals": ["a new boat"],
    "extras": {"boat": "Heron"},
    "fallback_lines": ["The wind took your words."],
}
CHANGED: dict[str, Any] = {
    "full_name": "Mira of the Sea",
    "description": "Mira is a captain.",
    "personality_traits": {"openness": 0.4},
    "topic_preferences": {"storms": 60},
    "charisma": 4,
    "intelligence": 19,
    "social_rank": "merchant",
    "priority": "business",
    "energy": 60,
    "available_time": 120,
    "background": "Born ashore.",
    "backstory": "She swims now.",
    "speaking_style": "Quick.",
    "interests": ["rope"],
    "goals": ["a fleet"],
    "extras": {"boat": "Osprey"},
    "fallback_lines": ["A gull took your words."],
}


async def test_all_that_a_persona_is_made_of_comes_back_and_can_be_changed(aria: pmcp_client.Client) -> None:
    made = await make(aria, **MADE)
    persona = (await aria.call("persona.get", {"persona_id": made["persona_id"]}))["persona"]
    assert {name: persona[name] for name in MADE} == MADE
    state = (await aria.call("persona.status", {"persona_id": made["persona_id"]}))["interaction_state"]
    assert (state["social_energy"], state["available_time"], state["current_priority"]) == (180, 900, "casual")
    changed = await aria.call(
        "persona.update",
        {"persona_id": made["persona_id"], "expected_version": 1, "name": f"New {made['name']}"} | CHANGED,
    )
    assert (changed["version"], changed["name"], changed["updated"]) == (2, f"New {made['name']}", True)
    persona = (await aria.call("persona.get", {"persona_id": made["persona_id"]}))["persona"]
    assert {name: persona[name] for name in CHANGED} == CHANGED
    assert (await aria.call("persona.delete", {"persona_id": made["persona_id"]}))["name"] == f"New {made['name']}"


async def test_a_change_of_another_version_is_refused(aria: pmcp_client.Client) -> None:
    made = await make(aria)
    with pytest.raises(pmcp_client.CallFailed) as refused:
        await aria.call("persona.update", {"persona_id": made["persona_id"], "expected_version": 7, "charisma": 3})
    assert refused.value.code == -32012


async def test_all_that_is_stored_with_a_memory_comes_back(aria: pmcp_client.Client) -> None:
    told: dict[str, Any] = {
        "content": "The harbour bell rang thirteen times.",
        "memory_type": "observation",
        "importance": 0.85,
        "emotional_valence": -0.4,
        "related_personas": ["kira"],
        "visibility": "shared",
    }
    stored = await aria.call("memory.store", told | {"metadata": {"place": "harbour"}, "persona_id": "aria"})
    (found,) = (await aria.call("memory.search", {"query": "the harbour bell", "persona_id": "aria"}))["memories"]
    assert {name: found[name] for name in told if name != "related_personas"} == {
        name: value for name, value in told.items() if name != "related_personas"
    }
    assert len(found["related_personas"]) == 1
    assert found["id"] == stored["memory_id"]


async def test_a_search_is_bounded_by_number_type_and_importance(aria: pmcp_client.Client) -> None:
    for number, (kind, weight) in enumerate([("goal", 0.9), ("goal", 0.5), ("observation", 0.9), ("observation", 0.2)]):
        text = f"The lighthouse keeper wrote letter number {number}."
        await aria.call("memory.store", {"content": text, "memory_type": kind, "importance": weight})

    async def search(**params: Any) -> list[tuple[str, float]]:
        found = await aria.call("memory.search", {"query": "letters of the lighthouse keeper", **params})
        assert found["result_count"] == len(found["memories"])
        return sorted((one["memory_type"], one["importance"]) for one in found["memories"])

    assert len(await search()) == 4
    assert len(await search(n_results=2)) == 2
    assert await search(memory_type="goal") == [("goal", 0.5), ("goal", 0.9)]
    assert await search(min_importance=0.6) == [("goal", 0.9), ("observation", 0.9)]
    assert (await aria.call("persona.memory", {"query": "letters", "limit": 3}))["total_found"] == 3


async def test_every_part_of_a_mood_can_be_set(aria: pmcp_client.Client) -> None:
    made = await make(aria)
    wanted = {"mood": -0.5, "energy_level": 0.2, "stress_level": 0.9, "curiosity": 0.1, "social_battery": 0.4}
    told = await aria.call("emotional.update_state", {"persona_id": made["persona_id"]} | wanted)
    state = (await aria.call("emotional.get_state", {"persona_id": made["persona_id"]}))["emotional_state"]
    for found in (told["updated_state"], state):
        assert {name: found[name] for name in wanted} == pytest.approx(wanted, abs=0.01)


async def test_a_meeting_is_told_as_it_was_processed(aria: pmcp_client.Client) -> None:
    one, other = await make(aria), await make(aria)
    told = {"interaction_quality": 1.0, "duration_minutes": 30.0, "context": "a duel of songs"}
    pair = {"persona1_id": one["persona_id"], "persona2_id": other["persona_id"]}
    answer = await aria.call("relationship.update", pair | told)
    assert answer["interaction_processed"] == {"quality": 1.0, "duration_minutes": 30.0, "context": "a duel of songs"}
    moved = answer["updated_relationship"]
    assert (moved["affinity"], moved["trust"], moved["respect"], moved["intimacy"]) == pytest.approx(
        (0.05, 0.03, 0.04, 0.02)
    )


async def test_a_repeated_key_gives_the_same_reply_by_either_method(aria: pmcp_client.Client) -> None:
    for method, text in (("persona.chat", "message"), ("conversation.send_message", "content")):
        params = {text: "Once only", "idempotency_key": uuid.uuid4().hex}
        first, again = await aria.call(method, params), await aria.call(method, params)
        assert again["message_id"] == first["message_id"]


async def test_a_budget_in_tokens_reaches_the_model(stack: World, aria: pmcp_client.Client) -> None:
    await aria.call("conversation.send_message", {"content": "Be brief", "token_budget": 77})

    def limits() -> list[int]:
        return [request.body["options"]["num_predict"] for request in stack.model.seen.requests]

    assert 77 in stack.call(limits)


async def test_the_systems_status_tells_the_players_conversation(aria: pmcp_client.Client) -> None:
    switched = await aria.call("persona.switch", {"persona_id": "aria"})
    status = await aria.call("system.status")
    assert (status["current_persona"], status["current_conversation"]) == (
        switched["persona_id"],
        switched["conversation_id"],
    )


async def test_a_session_counts_its_messages(aria: pmcp_client.Client) -> None:
    for text in ("One", "Two"):
        await aria.call("persona.chat", {"message": text})
    info = await aria.call("session.get_info")
    assert (info["message_count"], info["active_persona_name"]) == (2, "Aria")
