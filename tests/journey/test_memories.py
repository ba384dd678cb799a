"""What players and operators do with memories, over the wire, on the whole stack with two gateways."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

import pmcp_client
from pmcp_common.testing.waiting import until
from tests.journey.conftest import World, new_player

NOT_FOUND, PERSONA_NOT_FOUND, INVALID = -32011, -32000, -32602


@pytest.fixture
async def kira(stack: World) -> AsyncIterator[pmcp_client.Client]:
    """Another new player, on the second gateway, talking to Kira."""
    async with pmcp_client.connect(stack.gateways[1], player_id=new_player()) as client:
        await client.call("persona.switch", {"persona_id": "kira"})
        yield client


async def store(client: pmcp_client.Client, content: str, **fields: Any) -> str:
    stored = await client.call("memory.store", {"content": content, **fields})
    memory_id: str = stored["memory_id"]
    return memory_id


async def refused(client: pmcp_client.Client, code: int, method: str, params: dict[str, Any]) -> str:
    with pytest.raises(pmcp_client.CallFailed) as caught:
        await client.call(method, params)
    assert caught.value.code == code
    return caught.value.message


async def persona_id(client: pmcp_client.Client, name: str) -> str:
    found: str = (await client.call("persona.get", {"persona_id": name}))["persona"]["id"]
    return found


async def test_a_search_says_why_each_memory_came(aria: pmcp_client.Client) -> None:
    await store(aria, "The lighthouse keeper paints his door green every spring.")
    await store(aria, "Bread is dear this year.")
    found = (await aria.call("memory.search", {"query": "Which colour is the lighthouse keeper's door?"}))["memories"]
    assert "green" in found[0]["content"]
    for memory in found:
        assert sum(memory["reasons"].values()) == pytest.approx(memory["score"], abs=1e-4)
    assert found[0]["reasons"]["wording"] > found[1]["reasons"].get("wording", 0)
    before = {"query": "lighthouse", "as_of": "2001-01-01T00:00:00Z"}
    assert (await aria.call("memory.search", before))["result_count"] == 0


async def test_a_player_reads_edits_pins_merges_and_forgets_its_own(aria: pmcp_client.Client) -> None:
    one = await store(aria, "My boat is blue.", importance=0.4)
    other = await store(aria, "I have a boat.", importance=0.6)
    listed = await aria.call("memory.list", {"limit": 1})
    assert ([memory["id"] for memory in listed["memories"]], listed["has_more"]) == ([other], True)
    rest = await aria.call("memory.list", {"before_id": other})
    assert ([memory["id"] for memory in rest["memories"]], rest["has_more"]) == ([one], False)
    edited = (await aria.call("memory.edit", {"memory_id": one, "content": "My boat is red."}))["memory"]
    assert (edited["content"], edited["importance"], edited["visibility"]) == ("My boat is red.", 0.4, "private")
    for _ in range(2):
        assert (await aria.call("memory.pin", {"memory_id": one}))["memory"]["pinned"] is True
    assert (await aria.call("memory.pin", {"memory_id": one, "pinned": False}))["memory"]["pinned"] is False
    merged = (await aria.call("memory.merge", {"memory_id": one, "other_ids": [other]}))["memory"]
    assert (merged["content"], merged["importance"]) == ("My boat is red.", 0.6)
    await refused(aria, NOT_FOUND, "memory.get", {"memory_id": other})
    forgotten = await aria.call("memory.forget", {"memory_id": one})
    assert (forgotten["forgotten"], forgotten["erased"]["memories"]) == (True, 1)
    await refused(aria, NOT_FOUND, "memory.forget", {"memory_id": one})
    assert (await aria.call("memory.search", {"query": "boat"}))["result_count"] == 0


async def test_each_part_of_a_memory_can_be_edited_and_lists_follow(aria: pmcp_client.Client) -> None:
    kira_id = await persona_id(aria, "kira")
    one = await store(aria, "My boat is blue.")
    changes = {
        "content": "My boat is red.",
        "memory_type": "possession",
        "importance": 0.35,
        "emotional_valence": -0.25,
        "visibility": "shared",
        "pinned": True,
        "related_personas": ["Kira"],
    }
    for name, value in changes.items():
        edited = (await aria.call("memory.edit", {"memory_id": one, name: value}))["memory"]
        assert edited[name] == ([kira_id] if name == "related_personas" else value)
    kept = (await aria.call("memory.get", {"memory_id": one}))["memory"]
    assert {name: kept[name] for name in changes} == changes | {"related_personas": [kira_id]}
    plain = await store(aria, "Bread is dear.")
    for wanted, expected in (
        ({"memory_type": "possession"}, [one]),
        ({"visibility": "shared"}, [one]),
        ({"visibility": "private"}, [plain]),
    ):
        listed = (await aria.call("memory.list", {**wanted, "limit": 10}))["memories"]
        assert [memory["id"] for memory in listed if memory["own"]] == expected


async def test_an_edit_that_changes_nothing_is_refused(aria: pmcp_client.Client) -> None:
    one = await store(aria, "My boat is blue.")
    assert "nothing to change" in await refused(aria, INVALID, "memory.edit", {"memory_id": one})


async def test_a_player_neither_sees_nor_changes_what_is_anothers(
    aria: pmcp_client.Client, kira: pmcp_client.Client
) -> None:
    private = await store(aria, "The canary's name is Sol.")
    public = await store(aria, "The market opens at dawn.", visibility="public")
    spy: dict[str, Any] = {"persona_id": "aria"}
    unseen = await refused(kira, NOT_FOUND, "memory.get", {**spy, "memory_id": private})
    unknown = await refused(kira, NOT_FOUND, "memory.get", {**spy, "memory_id": "nothing"})
    assert unseen == unknown
    seen = (await kira.call("memory.get", {"memory_id": public}))["memory"]
    assert (seen["content"], seen["own"], seen["player_id"]) == ("The market opens at dawn.", False, None)
    for memory_id in (private, public):
        for method, more in (
            ("memory.edit", {"content": "Ha!"}),
            ("memory.pin", {}),
            ("memory.merge", {"other_ids": ["another"]}),
            ("memory.forget", {}),
        ):
            await refused(kira, NOT_FOUND, method, {**spy, **more, "memory_id": memory_id})
    listed = (await kira.call("memory.list", {**spy, "limit": 100}))["memories"]
    assert private not in [memory["id"] for memory in listed]
    assert (await aria.call("memory.get", {"memory_id": public}))["memory"]["content"] == "The market opens at dawn."
    await aria.call("memory.erase")


async def test_related_personas_may_be_ids_or_names_and_must_be_there(aria: pmcp_client.Client) -> None:
    kira_id = await persona_id(aria, "kira")
    related = ["KIRA", kira_id]
    one = await store(aria, "Kira keeps bees on the roof.", related_personas=related)
    assert (await aria.call("memory.get", {"memory_id": one}))["memory"]["related_personas"] == [kira_id]
    (found,) = (await aria.call("memory.search", {"query": "bees"}))["memories"]
    assert found["related_personas"] == [kira_id]
    unknown = {"content": "x", "related_personas": ["kira", "nobody-here"]}
    assert await refused(aria, PERSONA_NOT_FOUND, "memory.store", unknown) == "Persona not found: nobody-here"
    assert (await aria.call("memory.stats"))["total_memories"] == 1
    change = {"memory_id": one, "related_personas": ["nobody-here"]}
    await refused(aria, PERSONA_NOT_FOUND, "memory.edit", change)
    edited = await aria.call("memory.edit", {"memory_id": one, "related_personas": ["aria"]})
    assert edited["memory"]["related_personas"] == [await persona_id(aria, "aria")]


async def test_across_personas_private_memories_never_appear(aria: pmcp_client.Client) -> None:
    kira_id = await persona_id(aria, "kira")
    await store(aria, "The silver key lies under the canary's cage.", importance=0.9)
    await store(aria, "The silver key is a canary of Kira's.", importance=0.9, persona_id="kira")
    own = await store(aria, "The silver key opens the tower.", importance=0.9, visibility="shared")
    hers = await store(aria, "The silver key was lost twice.", importance=0.6, visibility="shared", persona_id="kira")
    dull = await store(aria, "The silver key is silver.", importance=0.5, visibility="shared")
    asked = await aria.call("memory.search_cross_persona", {"query": "silver key"})
    found = {memory["memory_id"]: memory for memory in asked["memories"]}
    assert (found[own]["source"], found[hers]["source"]) == ("own", "cross_persona")
    assert found[hers]["source_persona"] == kira_id
    assert dull not in found
    assert not any("canary" in memory["content"] for memory in asked["memories"])
    assert all(memory["similarity"] > 0.3 for memory in (found[own], found[hers]))
    assert asked["search_params"] == {"min_importance": 0.6, "include_shared": True, "include_public": True}
    assert asked["total_results"] == len(asked["memories"])
    without = {"query": "silver key", "include_shared": False, "n_results": 500, "min_importance": 0}
    other = await aria.call("memory.search_cross_persona", without)
    assert other["search_params"] == {"min_importance": 0, "include_shared": False, "include_public": True}
    assert not {own, hers, dull} & {memory["memory_id"] for memory in other["memories"]}
    first = {"query": "silver key", "include_public": False, "n_results": 1}
    (best,) = (await aria.call("memory.search_cross_persona", first))["memories"]
    assert best["memory_id"] in (own, hers)
    neither = {"query": "silver key", "include_public": False, "include_shared": False}
    assert (await aria.call("memory.search_cross_persona", neither))["memories"] == []


async def test_shared_memories_and_their_cross_references_are_counted(aria: pmcp_client.Client) -> None:
    aria_id, kira_id = await persona_id(aria, "aria"), await persona_id(aria, "kira")
    before = (await aria.call("memory.shared_stats"))["shared_memory_statistics"]
    await store(aria, "The bridge is Kira's.", visibility="public", related_personas=["kira"])
    await store(aria, "The ferry is mine.", visibility="shared", related_personas=["aria"])
    await store(aria, "Nobody knows this.", related_personas=["kira"])
    after = (await aria.call("memory.shared_stats"))["shared_memory_statistics"]
    gained = {key: after[key] - before[key] for key in ("shared_memories", "public_memories", "cross_references")}
    assert gained == {"shared_memories": 1, "public_memories": 1, "cross_references": 1}
    mine, was = after["by_persona"][aria_id], before["by_persona"][aria_id]
    assert {key: mine[key] - was[key] for key in mine} == {"shared": 1, "public": 1, "cross_references": 1}
    assert after["by_persona"][kira_id] == before["by_persona"][kira_id]
    assert after["total_personas"] == len(after["by_persona"])
    await aria.call("memory.erase")


async def filled(stack: World, client: pmcp_client.Client, number: int) -> None:
    """So many memories, recalled once: pruning may take them."""
    first = await store(client, "The first of many.", importance=0.3)
    rows = await asyncpg.connect(stack.dsn)
    try:
        columns = [
            row["column_name"]
            for row in await rows.fetch(
                "SELECT column_name FROM information_schema.columns"
                " WHERE table_schema = 'memory' AND table_name = 'memories' AND is_generated = 'NEVER'"
            )
        ]
        fresh = {"id": "m.id || '-' || n", "thread_id": "m.id || '-' || n", "accessed_count": "1"}
        values = ", ".join(fresh.get(name, f"m.{name}") for name in columns)
        await rows.execute(
            f"INSERT INTO memory.memories ({', '.join(columns)}) SELECT {values}"
            " FROM memory.memories m, generate_series(2, $2::integer) AS n WHERE m.id = $1",
            first,
            number,
        )
    finally:
        await rows.close()


async def test_few_memories_need_no_pruning_and_the_reason_says_so(aria: pmcp_client.Client) -> None:
    aria_id = await persona_id(aria, "aria")
    assert await aria.call("memory.prune") == {
        "status": "no_pruning_needed",
        "persona_id": aria_id,
        "current_memory_count": 0,
        "message": "0 memories: pruning begins at 900",
    }
    assert (await aria.call("memory.prune_recommendations"))["recommendations"] == {
        "needs_pruning": False,
        "current_count": 0,
        "target_count": 800,
        "recommendation": "No pruning needed",
    }


async def test_too_many_memories_are_pruned_as_was_recommended_and_counted_everywhere(
    stack: World, aria: pmcp_client.Client, kira: pmcp_client.Client
) -> None:
    await filled(stack, aria, 950)
    aria_id = await persona_id(aria, "aria")
    advice = (await aria.call("memory.prune_recommendations"))["recommendations"]
    assert (advice["needs_pruning"], advice["current_count"], advice["would_prune"]) == (True, 950, 150)
    assert advice["importance_range_to_prune"] == [0.3, 0.3]
    preview = await aria.call("memory.prune_all", {"dry_run": True})
    assert (preview["status"], preview["total_memories_pruned"]) == ("global_pruning_previewed", 150)
    done = await aria.call("memory.prune")
    assert (done["status"], done["memories_before"], done["memories_after"]) == ("pruning_completed", 950, 800)
    assert done["average_importance_pruned"] == advice["average_importance_to_prune"] == 0.3
    assert (await aria.call("memory.stats"))["total_memories"] == 800
    await filled(stack, aria, 111)
    again = await aria.call("memory.prune")
    assert (again["status"], again["message"]) == ("no_pruning_needed", "Pruned less than an hour ago")
    assert (await aria.call("memory.prune", {"force": True}))["memories_after"] == 800
    statistics = (await kira.call("memory.prune_stats"))["pruning_statistics"]
    assert statistics["total_memories_pruned"] >= 150
    assert aria_id in statistics["personas_last_pruned"]
    await aria.call("memory.erase")


async def test_all_are_pruned_at_once_and_anothers_few_are_left_alone(
    stack: World, aria: pmcp_client.Client, kira: pmcp_client.Client
) -> None:
    await filled(stack, aria, 900)
    await store(kira, "The only one.", importance=0.3)
    done = await kira.call("memory.prune_all")
    assert (done["status"], done["total_memories_pruned"], done["errors_encountered"]) == (
        "global_pruning_completed",
        100,
        0,
    )
    assert done["total_memories_before"] - done["total_memories_after"] == 100
    assert (await aria.call("memory.stats"))["total_memories"] == 800
    assert (await kira.call("memory.stats"))["total_memories"] == 1
    assert (await aria.call("memory.prune_stats"))["pruning_statistics"]["last_global_prune"]
    await aria.call("memory.erase")


async def test_decay_is_switched_for_every_gateway_and_stays_so(
    aria: pmcp_client.Client, kira: pmcp_client.Client
) -> None:
    for _ in range(2):
        assert await aria.call("memory.decay_stop") == {"status": "background_decay_stopped"}
        assert (await kira.call("memory.decay_stats"))["decay_statistics"]["background_running"] is False
    for _ in range(2):
        started = await kira.call("memory.decay_start")
        statistics = (await aria.call("memory.decay_stats"))["decay_statistics"]
        assert statistics["background_running"] is True
    config = statistics["config"]
    assert started == {
        "status": "background_decay_started",
        **{key: config[key] for key in ("interval_hours", "mode", "auto_pruning")},
    }


async def test_a_forced_decay_is_of_the_players_own_or_a_whole_cycle(stack: World, aria: pmcp_client.Client) -> None:
    one = await store(aria, "A dull day.", importance=0.5)
    faded = await aria.call("memory.decay_force", {"decay_factor": 0.2})
    assert (faded["status"], faded["memories_processed"], faded["memories_decayed"]) == (
        "persona_decay_completed",
        1,
        1,
    )
    assert (await aria.call("memory.get", {"memory_id": one}))["memory"]["importance"] == pytest.approx(0.4)
    async with pmcp_client.connect(stack.gateways[1], player_id=new_player()) as operator:
        done = await operator.call("memory.decay_force")
        assert done["status"] == "global_decay_cycle_completed"
        assert done["personas_processed"] >= 1
        statistics = (await operator.call("memory.decay_stats"))["decay_statistics"]
    assert statistics["total_decay_cycles"] >= 1
    assert statistics["recent_cycle"]["personas_processed"] == done["personas_processed"]
    assert (await aria.call("memory.get", {"memory_id": one}))["memory"]["importance"] == pytest.approx(0.4)


async def exported(client: pmcp_client.Client, limit: int) -> dict[str, list[Any]]:
    kept: dict[str, list[Any]] = {"memories": [], "turns": [], "summaries": [], "waiting": []}
    page: dict[str, Any] = {"next": None}
    for _ in range(50):
        after = {} if page["next"] is None else {"after": page["next"]}
        page = await client.call("memory.export", {"limit": limit, **after})
        for kind in kept:
            kept[kind] += page[kind]
        if page["next"] is None:
            return kept
    raise AssertionError("no end")


async def test_all_of_a_player_is_exported_in_pages_and_erased_in_one_call(aria: pmcp_client.Client) -> None:
    ids = {await store(aria, f"Fact number {number}.") for number in range(3)}
    await store(aria, "Known to Kira, too.", persona_id="kira")
    await aria.call("persona.chat", {"message": "My sister Ilse sails on Thursday."})

    async def remembered() -> bool:
        return len((await exported(aria, 500))["memories"]) >= 5

    await until(remembered)
    kept = await exported(aria, 2)
    assert ids <= {memory["id"] for memory in kept["memories"]}
    assert [turn["role"] for turn in kept["turns"]] == ["user", "assistant"]
    erased = await aria.call("memory.erase")
    assert (erased["erased"], erased["turns"], erased["memories"]) == (True, 2, len(kept["memories"]))
    assert await exported(aria, 100) == {"memories": [], "turns": [], "summaries": [], "waiting": []}
    again = await aria.call("memory.erase")
    assert (again["turns"], again["memories"], again["saves"]) == (0, 0, 0)


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("memory.decay_force", {"decay_factor": 1.5}),
        ("memory.decay_force", {"decay_factor": "NaN"}),
        ("memory.search_cross_persona", {"query": "  "}),
        ("memory.search_cross_persona", {"query": "x", "n_results": -1}),
        ("memory.search_cross_persona", {"query": "x", "min_importance": 2}),
        ("memory.prune", {"force": "perhaps"}),
        ("memory.list", {"limit": 101}),
        ("memory.edit", {"memory_id": "m", "importance": -0.1}),
        ("memory.edit", {"memory_id": "m", "content": ""}),
        ("memory.edit", {"memory_id": "m", "content": "a\0b"}),
        ("memory.edit", {"memory_id": "m", "visibility": "secret"}),
        ("memory.merge", {"memory_id": "m", "other_ids": []}),
        ("memory.store", {"content": "x", "related_personas": ["p"] * 65}),
        ("memory.export", {"after": "turns:-5"}),
        ("memory.get", {}),
    ],
)
async def test_bad_parameters_are_refused_with_the_field_named(
    aria: pmcp_client.Client, method: str, params: dict[str, Any]
) -> None:
    message = await refused(aria, INVALID, method, params)
    field = next((name for name, value in params.items() if value != "m" and name in message), None)
    assert field or "memory_id is required" in message


async def test_many_at_once_get_one_answer_each_and_nothing_is_half_done(aria: pmcp_client.Client) -> None:
    ids = await asyncio.gather(*(store(aria, f"Stone number {number}.") for number in range(12)))
    await asyncio.gather(*(aria.call("memory.pin", {"memory_id": one}) for one in ids))
    listed = (await aria.call("memory.list", {"limit": 100}))["memories"]
    assert {memory["id"] for memory in listed} == set(ids)
    assert all(memory["pinned"] for memory in listed)
