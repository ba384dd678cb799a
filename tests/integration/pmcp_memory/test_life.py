"""A memory's life through the API: stored, edited, pinned, merged, forgotten; a player exported and erased."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.integration.pmcp_memory.conftest import Service

OWNER = {"persona_id": "aria", "player_id": "p1"}


async def store(service: Service, *contents: str, **changes: Any) -> list[str]:
    body = {**OWNER, "memories": [{"content": content} for content in contents], **changes}
    answer = await service.http.post("/v1/local/memories", json=body)
    assert answer.status_code == 200, answer.text
    ids: list[str] = answer.json()["ids"]
    return ids


async def read(service: Service, memory_id: str, **changes: str) -> dict[str, Any]:
    answer = await service.http.get(f"/v1/local/memories/{memory_id}", params={**OWNER, **changes})
    document: dict[str, Any] = answer.json()
    return document | {"status": answer.status_code}


async def test_a_stored_memory_is_read_back_with_what_was_judged(service: Service) -> None:
    (one,) = await store(service, "I love my sister Ilse")
    memory = await read(service, one)
    assert memory["content"] == "I love my sister Ilse"
    assert memory["importance"] == memory["initial_importance"] > 0.3
    assert memory["emotional_valence"] == 1
    assert (memory["visibility"], memory["embedding_model"], memory["embedding_dimension"]) == ("private", "words", 384)
    assert memory["accessed_count"] == 0
    assert memory["participants"] == ["p1", "aria"]


@pytest.mark.parametrize(
    "fault",
    [
        {"content": ""},
        {"content": "a\0b"},
        {"content": "x" * 32_769},
        {"content": "x", "importance": 1.1},
        {"content": "x", "importance": "NaN"},
        {"content": "x", "emotional_valence": -2},
        {"content": "x", "visibility": "secret"},
        {"content": "x", "memory_type": "Bad Type"},
    ],
)
async def test_one_bad_memory_stores_none(service: Service, fault: dict[str, Any]) -> None:
    body = {**OWNER, "memories": [{"content": "good"}, fault]}
    answer = await service.http.post("/v1/local/memories", json=body)
    assert (answer.status_code, answer.json()["code"]) == (422, -32602)
    assert await service.rows.fetchval("SELECT count(*) FROM memory.memories") == 0


async def test_a_thousand_at_once_are_stored_and_more_are_refused(service: Service) -> None:
    contents = [f"fact number {number}" for number in range(1_000)]
    assert len(await store(service, *contents)) == 1_000
    body = {**OWNER, "memories": [{"content": "x"}] * 1_001}
    assert (await service.http.post("/v1/local/memories", json=body)).status_code == 422
    assert await service.rows.fetchval("SELECT count(*) FROM memory.memories") == 1_000


async def test_a_vector_that_is_none_stores_nothing(service: Service) -> None:
    for bad in ([float("nan")] * 384, [float("inf")] * 384, [1.0] * 3):
        service.embedder._vector = lambda _text, bad=bad: bad  # type: ignore[method-assign, misc]
        answer = await service.http.post("/v1/local/memories", json={**OWNER, "memories": [{"content": "x"}]})
        assert (answer.status_code, answer.json()["code"]) == (503, -32002)
    assert await service.rows.fetchval("SELECT count(*) FROM memory.memories") == 0


async def test_an_edited_text_is_found_by_its_new_words(service: Service) -> None:
    (one,) = await store(service, "my dog is called Rex")
    change = {**OWNER, "content": "my cat is called Tom", "importance": 0.9, "pinned": True}
    edited = (await service.http.patch(f"/v1/local/memories/{one}", json=change)).json()
    assert (edited["content"], edited["importance"], edited["pinned"]) == ("my cat is called Tom", 0.9, True)
    assert await service.search("cat") == ["my cat is called Tom"]
    row = await service.rows.fetchrow("SELECT words::text AS words FROM memory.memories WHERE id = $1", one)
    assert row is not None
    assert "rex" not in row["words"]


async def test_an_edit_of_nothing_is_refused(service: Service) -> None:
    (one,) = await store(service, "my dog is called Rex")
    assert (await service.http.patch(f"/v1/local/memories/{one}", json=OWNER)).status_code == 422


async def test_merging_keeps_the_sources_and_the_greater_importance(service: Service) -> None:
    await service.learn("my dog is called Rex")
    await service.learn("I have a dog and I love my dog so much!")
    ids = [row["id"] for row in await service.rows.fetch("SELECT id FROM memory.memories ORDER BY ordinal")]
    importances = [(await read(service, one))["importance"] for one in ids]
    body = {**OWNER, "into": ids[0], "others": [ids[1]]}
    merged = (await service.http.post("/v1/local/memories/merge", json=body)).json()
    assert merged["source_message_ids"] == ["m1", "m2"]
    assert merged["importance"] == max(importances)
    assert (await read(service, ids[1]))["status"] == 404
    assert (await service.http.post("/v1/local/remember", json={"message_ids": ["m1", "m2"]})).json() == {"stored": 0}


async def test_what_is_forgotten_leaves_no_trace(service: Service) -> None:
    secret = service.turn("Do you know that canary is my middle name?", created_at="2026-03-01T12:00:00Z")
    reply = service.turn(
        "I did not know that, and I shall keep it to myself for ever",
        role="assistant",
        created_at="2026-03-01T12:00:01Z",
    )
    await service.commit(secret, reply)
    await service.remember(secret, reply)
    await service.rows.execute(
        "INSERT INTO memory.summaries (tenant_id, conversation_id, content, upto_position)"
        " VALUES ('local', 'c1', 'The canary name.', 1)"
    )
    memory_id = await service.rows.fetchval("SELECT id FROM memory.memories WHERE source_message_ids[1] = 'm1'")
    answer = await service.http.delete(f"/v1/local/memories/{memory_id}", params=OWNER)
    assert answer.json() == {"memories": 1, "turns": 1, "summaries": 1}
    for table in ("memories", "turns", "summaries"):
        dump = await service.rows.fetchval(f"SELECT string_agg(t::text, ' ') FROM memory.{table} t")
        assert "canar" not in (dump or "")


async def test_a_forgotten_message_is_not_learned_again(service: Service) -> None:
    turn = await service.learn("canary")
    memory_id = await service.rows.fetchval("SELECT id FROM memory.memories")
    await service.http.delete(f"/v1/local/memories/{memory_id}", params=OWNER)
    await service.commit(turn)
    assert (await service.remember(turn)).json() == {"stored": 0}


@pytest.mark.parametrize("foreign", [{"player_id": "p2"}, {"persona_id": "kira"}])
async def test_a_foreign_memory_cannot_be_read_changed_or_forgotten(service: Service, foreign: dict[str, str]) -> None:
    (one, two) = await store(service, "canary", "another")
    who = {**OWNER, **foreign}
    url = f"/v1/local/memories/{one}"
    answers = [
        await service.http.get(url, params=who),
        await service.http.patch(url, json={**who, "content": "mine now"}),
        await service.http.delete(url, params=who),
        await service.http.post("/v1/local/memories/merge", json={**who, "into": one, "others": [two]}),
        await service.http.get(f"/v1/elsewhere/memories/{one}", params=OWNER),
    ]
    assert {answer.status_code for answer in answers} == {404}
    assert (await read(service, one))["content"] == "canary"


async def test_a_player_is_exported_and_erased_in_one_call(service: Service) -> None:
    await service.learn("canary one")
    await service.learn("canary two", persona_id="kira", conversation_id="c2")
    await service.learn("mine", player_id="p2", conversation_id="c3")
    await service.rows.execute(
        "INSERT INTO memory.summaries (tenant_id, conversation_id, content, upto_position)"
        " VALUES ('local', 'c1', 'canary', 1), ('local', 'c3', 'kept', 1)"
    )
    exported = (await service.http.get("/v1/local/players/p1/export")).json()
    assert sorted(memory["content"] for memory in exported["memories"]) == ["canary one", "canary two"]
    assert [turn["content"] for turn in exported["turns"]] == ["canary one", "canary two"]
    assert [summary["content"] for summary in exported["summaries"]] == ["canary"]
    erased = (await service.http.delete("/v1/local/players/p1")).json()
    assert erased == {"memories": 2, "turns": 2}
    for table in ("memories", "turns", "summaries", "sources"):
        dump = await service.rows.fetchval(f"SELECT string_agg(t::text, ' ') FROM memory.{table} t")
        assert "canary" not in dump
    assert await service.search("mine", player_id="p2") == ["mine"]


async def test_accesses_are_counted_and_the_birth_of_a_memory_stays(service: Service) -> None:
    (one,) = await store(service, "my dog is called Rex")
    born = (await read(service, one))["created_at"]
    for _ in range(3):
        await service.search("dog")
    async with asyncio.timeout(5):
        while (await read(service, one))["accessed_count"] < 3:  # noqa: ASYNC110
            await asyncio.sleep(0.05)  # counts are written every two seconds, and nothing announces it
    memory = await read(service, one)
    assert (memory["accessed_count"], memory["created_at"]) == (3, born)
    assert memory["last_accessed"] > born
