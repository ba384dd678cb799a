"""Saves of a player's world: what was said and remembered is as it was at the save, and nothing is lost by loading."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

import asyncpg
import httpx
import pytest

from tests.integration.pmcp_memory.conftest import Service

OWNER = {"persona_id": "aria", "player_id": "p1"}
_numbers = itertools.count(1)


def world(player: str = "p1", **changes: Any) -> dict[str, Any]:
    name = f"save-{next(_numbers)}"
    return {"save_id": name, "player_id": player, "session_id": "s1", "principal": "local", **changes}


async def save(service: Service, **changes: Any) -> str:
    answer = await service.http.post("/v1/local/saves", json=world(**changes))
    assert answer.status_code == 201, answer.text
    save_id: str = answer.json()["save_id"]
    return save_id


async def try_load(service: Service, save_id: str, player: str = "p1", tenant: str = "local") -> httpx.Response:
    return await service.http.post(f"/v1/{tenant}/saves/{save_id}/load", json={"leaving": world(player)})


async def load(service: Service, save_id: str) -> dict[str, Any]:
    answer = await try_load(service, save_id)
    assert answer.status_code == 200, answer.text
    document: dict[str, Any] = answer.json()
    return document


async def said(service: Service) -> list[str]:
    return [turn["content"] for turn in (await service.context("anything"))["turns"]]


async def remembered(service: Service, query: str = "I own a thing") -> set[str]:
    return set(await service.search(query, n_results=20))


async def store(service: Service, *contents: str) -> list[str]:
    body = {**OWNER, "memories": [{"content": content} for content in contents]}
    ids: list[str] = (await service.http.post("/v1/local/memories", json=body)).json()["ids"]
    return ids


async def edit(service: Service, memory_id: str, **changes: Any) -> None:
    answer = await service.http.patch(f"/v1/local/memories/{memory_id}", json={**OWNER, **changes})
    assert answer.status_code == 200, answer.text


async def forget(service: Service, memory_id: str) -> dict[str, Any]:
    answer = await service.http.delete(f"/v1/local/memories/{memory_id}", params=OWNER)
    assert answer.status_code == 200, answer.text
    document: dict[str, Any] = answer.json()
    return document


async def memory_id_of(service: Service, content: str) -> str:
    found: str = await service.rows.fetchval("SELECT id FROM memory.memories WHERE content = $1", content)
    return found


async def everything(service: Service, words: str) -> int:
    """Rows anywhere that hold these words."""
    count = 0
    tables = await service.rows.fetch("SELECT table_name FROM information_schema.tables WHERE table_schema = 'memory'")
    for (table,) in tables:
        count += await service.rows.fetchval(
            f"SELECT count(*) FROM memory.{table} AS r WHERE r::text LIKE '%' || $1 || '%'",
            words,
        )
    return count


async def test_what_came_after_a_save_is_hidden_by_loading_it_and_shown_again_by_loading_a_later_one(
    service: Service,
) -> None:
    await service.learn("I own a red horse")
    early = await save(service)
    await service.learn("I own a blue boat")
    late = await save(service)

    outcome = await load(service, early)
    assert (outcome["turns_hidden"], outcome["memories_hidden"]) == (1, 1)
    assert await said(service) == ["I own a red horse"]
    assert await remembered(service) == {"I own a red horse"}

    outcome = await load(service, late)
    assert (outcome["turns_shown"], outcome["memories_shown"], outcome["memories_hidden"]) == (1, 1, 0)
    assert await said(service) == ["I own a red horse", "I own a blue boat"]
    assert await remembered(service) == {"I own a red horse", "I own a blue boat"}


async def test_worlds_branch(service: Service) -> None:
    a = await save(service)
    await service.learn("I own a first thing")
    b = await save(service)
    await load(service, a)
    assert await remembered(service) == set()
    await service.learn("I own a second thing")
    c = await save(service)
    for save_id, there in ((b, "I own a first thing"), (c, "I own a second thing"), (b, "I own a first thing")):
        await load(service, save_id)
        assert await remembered(service) == {there}
        assert await said(service) == [there]


async def test_what_was_never_saved_is_not_lost_by_loading(service: Service) -> None:
    early = await save(service)
    await service.learn("I own a red horse")
    leaving = world()
    await service.http.post(f"/v1/local/saves/{early}/load", json={"leaving": leaving})
    assert await remembered(service) == set()
    await load(service, leaving["save_id"])
    assert await remembered(service) == {"I own a red horse"}


async def test_a_message_told_again_stays_put_away(service: Service) -> None:
    early = await save(service)
    turn = await service.learn("I own a red horse")
    await load(service, early)
    assert (await service.commit(turn)).json() == {"stored": 0}
    assert await said(service) == []


async def test_an_edit_and_a_pin_are_taken_back_and_brought_again(service: Service) -> None:
    await service.learn("I own a red horse")
    memory_id = await memory_id_of(service, "I own a red horse")
    early = await save(service)
    await edit(service, memory_id, content="I own a green horse", pinned=True, importance=0.9)
    late = await save(service)

    await load(service, early)
    assert await remembered(service) == {"I own a red horse"}
    assert await said(service) == ["I own a red horse"]
    assert await service.rows.fetchval("SELECT pinned FROM memory.memories") is False
    await load(service, late)
    assert await remembered(service) == {"I own a green horse"}
    assert await said(service) == ["I own a green horse"]
    assert await service.rows.fetchval("SELECT (pinned, importance) = (true, 0.9::real) FROM memory.memories")


async def test_a_save_is_immutable_however_often_its_memories_are_edited(service: Service) -> None:
    (memory_id,) = await store(service, "I own a thing of kind 0")
    saves = []
    for number in range(1, 5):
        saves.append(await save(service))
        await edit(service, memory_id, content=f"I own a thing of kind {number}")
        await edit(service, memory_id, content=f"I own a thing of kind {number}!")
    for number in (3, 0, 2, 2, 1):
        await load(service, saves[number])
        mark = "!" if number else ""
        assert await remembered(service) == {f"I own a thing of kind {number}{mark}"}


async def test_merged_and_pruned_memories_come_back(service: Service) -> None:
    one, two, three = await store(service, "I own a red horse", "I own a horse", "I own a cart")
    early = await save(service)
    await service.http.post("/v1/local/memories/merge", json={**OWNER, "into": one, "others": [two]})
    await service.rows.execute("DELETE FROM memory.memories WHERE id = $1", three)  # as pruning does
    assert await remembered(service) == {"I own a red horse"}
    late = await save(service)
    await load(service, early)
    assert await remembered(service) == {"I own a red horse", "I own a horse", "I own a cart"}
    await load(service, late)
    assert await remembered(service) == {"I own a red horse"}


async def test_without_a_save_nothing_is_kept_of_an_edit_or_a_pruning(service: Service) -> None:
    one, two = await store(service, "I own a red horse", "I own a cart")
    await edit(service, one, content="I own a green horse")
    await service.rows.execute("DELETE FROM memory.memories WHERE id = $1", two)
    assert await everything(service, "red horse") == await everything(service, "cart") == 0


async def test_use_and_decay_are_not_rewound_and_copy_nothing(service: Service) -> None:
    await store(service, "I own a red horse")
    await save(service)
    await service.rows.execute(
        "UPDATE memory.memories SET accessed_count = 7, importance = 0.2, initial_importance = 0.25"
    )
    assert await service.rows.fetchval("SELECT count(*) FROM memory.put_away_memories") == 0


async def test_what_is_forgotten_is_forgotten_in_every_save(service: Service) -> None:
    await service.learn("Where do I hide the gold?", role="assistant")
    await service.learn("I own a chest below the old mill")
    memory_id = await memory_id_of(service, "I own a chest below the old mill")
    early = await save(service)
    await edit(service, memory_id, importance=0.9)
    late = await save(service)
    await load(service, early)
    await forget(service, memory_id)
    assert await everything(service, "old mill") == 0
    await load(service, late)
    assert await said(service) == ["Where do I hide the gold?"]
    assert await remembered(service, "chest mill") == {"Where do I hide the gold?"}


async def test_a_forgotten_question_is_no_lead_in_of_another_world(service: Service) -> None:
    await service.learn("Is the gold below the old mill?", role="assistant")
    question = await memory_id_of(service, "Is the gold below the old mill?")
    early = await save(service)
    await service.learn("Yes, I own all of it")
    late = await save(service)
    await load(service, early)
    await forget(service, question)
    assert await everything(service, "old mill") == 0
    await load(service, late)
    assert await said(service) == ["Yes, I own all of it"]


async def test_a_forgotten_text_is_in_no_saved_summary(service: Service) -> None:
    turn = await service.learn("I own a chest below the old mill")
    draft = {"content": "They own a chest.", "after_version": 0, "upto_message_id": turn["message_id"]}
    await service.http.put("/v1/local/conversations/c1/summary", json=draft)
    early = await save(service)
    await forget(service, await memory_id_of(service, "I own a chest below the old mill"))
    await load(service, early)
    assert (await service.context("anything"))["summary"] is None
    assert await everything(service, "chest") == 0


async def test_an_erased_player_has_no_saves(service: Service) -> None:
    early = await save(service)
    await service.learn("I own a red horse")
    await load(service, early)
    await service.learn("I own a blue boat")
    answer = await service.http.delete("/v1/local/players/p1")
    assert answer.json() == {"turns": 2, "memories": 2}
    assert (await try_load(service, early)).status_code == 404
    for table in ("turns", "memories", "put_away_turns", "put_away_memories", "saves", "saved_summaries", "sources"):
        assert await service.rows.fetchval(f"SELECT count(*) FROM memory.{table}") == 0


async def test_an_export_has_what_is_put_away(service: Service) -> None:
    early = await save(service)
    await service.learn("I own a red horse")
    await load(service, early)
    document = await service.records()
    assert [turn["content"] for turn in document["turns"]] == ["I own a red horse"]
    assert [memory["content"] for memory in document["memories"]] == ["I own a red horse"]


async def test_summaries_are_as_they_were_and_refuse_drafts_of_another_world(service: Service) -> None:
    async def summarise(content: str, version: int, upto: str) -> int:
        body = {"content": content, "after_version": version, "upto_message_id": upto}
        return (await service.http.put("/v1/local/conversations/c1/summary", json=body)).status_code

    turns = [service.turn(f"I own a thing of kind {number}") for number in range(3)]
    await service.commit(turns[0])
    nothing = await save(service)
    assert await summarise("the first", 0, turns[0]["message_id"]) == 200
    early = await save(service)
    await service.commit(*turns[1:])
    assert await summarise("all three", 1, turns[2]["message_id"]) == 200
    late = await save(service)

    await load(service, early)
    assert (await service.context("anything"))["summary"] == "the first"
    assert await summarise("of another world", 2, turns[0]["message_id"]) == 409
    assert await summarise("of another world", 3, turns[2]["message_id"]) == 409
    await load(service, nothing)
    assert (await service.context("anything"))["summary"] is None
    await load(service, late)
    assert (await service.context("anything"))["summary"] == "all three"


@pytest.mark.parametrize("foreign", ["another player", "another tenant", "nobody"])
async def test_a_save_of_somebody_else_is_not_found(service: Service, foreign: str) -> None:
    save_id = await save(service)
    answer = await try_load(
        service,
        "unheard-of" if foreign == "nobody" else save_id,
        "p2" if foreign == "another player" else "p1",
        "other" if foreign == "another tenant" else "local",
    )
    assert (answer.status_code, answer.json()["code"], answer.json()["detail"]) == (404, -32011, "Save not found")
    assert await service.rows.fetchval("SELECT count(*) FROM memory.saves") == 1


async def test_other_players_and_the_persona_itself_keep_their_world(service: Service) -> None:
    early = await save(service)
    await service.learn("I own a red horse", player_id="p2", conversation_id="c2")
    body = {"persona_id": "aria", "memories": [{"content": "I own a lute"}]}
    assert (await service.http.post("/v1/local/memories", json=body)).status_code == 200
    await load(service, early)
    assert await remembered(service) == {"I own a lute"}
    assert await service.search("I own a thing", player_id="p2", n_results=5) != ["I own a lute"]


async def test_saves_are_listed_newest_first_and_the_newest_own_one_is_found(service: Service) -> None:
    one = await save(service, label="before the dragon", persona_id="aria", persona_name="Aria")
    two = await save(service)
    await load(service, one)
    listed = (await service.http.get("/v1/local/players/p1/saves")).json()["saves"]
    assert [one["automatic"] for one in listed] == [True, False, False]
    assert listed[2]["label"] == "before the dragon"
    assert (await service.http.get("/v1/local/players/p1/save")).json()["save_id"] == two
    assert (await service.http.get("/v1/local/players/p2/save")).status_code == 404


async def test_a_save_counts_the_conversations(service: Service) -> None:
    for number in range(3):
        await service.commit(service.turn("x", conversation_id=f"c{number}", persona_id=f"persona{number}"))
    await save(service)
    assert await service.rows.fetchval("SELECT conversations FROM memory.saves") == 3


async def test_automatic_saves_are_bounded_and_never_take_the_place_of_others(service: Service) -> None:
    own = await save(service)
    for _ in range(25):
        await load(service, own)
    kinds = await service.rows.fetch("SELECT automatic, count(*) FROM memory.saves GROUP BY 1 ORDER BY 1")
    assert [tuple(kind) for kind in kinds] == [(False, 1), (True, 20)]


async def test_loading_back_and_forth_piles_nothing_up(service: Service) -> None:
    early = await save(service)
    await service.learn("I own a red horse")
    late = await save(service)
    for _ in range(5):
        await load(service, early)
        await load(service, late)
    assert await service.rows.fetchval("SELECT count(*) FROM memory.put_away_memories") == 0
    assert await service.rows.fetchval("SELECT count(*) FROM memory.put_away_turns") == 0


async def test_a_message_on_its_way_is_before_the_save_or_after_it(service: Service) -> None:
    """Whoever has begun to write holds the world: the save waits, so that its cut is exact."""
    writer = await asyncpg.connect(service.dsn)
    turn = service.turn("I own a red horse")
    transaction = writer.transaction()
    await transaction.start()
    await writer.execute(
        "INSERT INTO memory.turns (tenant_id, message_id, conversation_id, persona_id, player_id, role, content,"
        " created_at) VALUES ('local', 'slow', 'c1', 'aria', 'p1', 'user', $1, now())",
        turn["content"],
    )
    saving = asyncio.create_task(save(service))
    async with asyncio.timeout(5):
        while not await service.rows.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"):
            assert not saving.done()
    await transaction.commit()
    await writer.close()
    save_id = await saving
    await service.commit(service.turn("I own a blue boat"))
    await load(service, save_id)
    assert await said(service) == ["I own a red horse"]


async def test_the_tables_of_what_is_put_away_have_every_column(service: Service) -> None:
    for table in ("turns", "memories"):
        columns = await service.rows.fetch(
            "SELECT column_name, udt_name FROM information_schema.columns"
            " WHERE table_schema = 'memory' AND table_name = $1 ORDER BY ordinal_position",
            table,
        )
        away = await service.rows.fetch(
            "SELECT column_name, udt_name FROM information_schema.columns"
            " WHERE table_schema = 'memory' AND table_name = $1 ORDER BY ordinal_position",
            f"put_away_{table}",
        )
        assert [tuple(one) for one in columns] == [tuple(one) for one in away]
