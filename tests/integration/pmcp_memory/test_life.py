"""A memory's life through the API: stored, edited, pinned, merged, forgotten; a player exported and erased."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import httpx
import orjson
import pytest

from pmcp_memory.cues import cues_of
from pmcp_memory.embedding import Urgency, Vector
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
        {"content": "x", "occurred_at": "0001-01-01T00:00:00+14:00"},
        {"content": "x", "metadata": {"number": 2**64}},
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
    for many in (1_001, 10_000):
        body = {**OWNER, "memories": [{"content": "x"}] * many}
        answer = await service.http.post("/v1/local/memories", json=body)
        assert (answer.status_code, answer.json()["code"]) == (422, -32602)
        assert answer.json()["detail"] == "Invalid request: body.memories: too_long (max_length 1000)"
    assert await service.rows.fetchval("SELECT count(*) FROM memory.memories") == 1_000


async def test_many_stores_at_once_are_each_stored_or_refused_with_a_reason(service: Service) -> None:
    async def one(number: int) -> httpx.Response:
        body = {**OWNER, "memories": [{"content": f"fact {number} a"}, {"content": f"fact {number} b"}]}
        return await service.http.post("/v1/local/memories", json=body)

    answers = await asyncio.gather(*(one(number) for number in range(300)))
    stored = [one for answer in answers if answer.status_code == 200 for one in answer.json()["ids"]]
    assert {answer.status_code for answer in answers} <= {200, 503}
    assert len(stored) >= 2
    rows = await service.rows.fetch("SELECT id FROM memory.memories")
    assert sorted(row["id"] for row in rows) == sorted(stored)


@pytest.mark.parametrize(
    "query", ["the and of", "?!", " \u00a0 ", "\U0001f600", "a & b | !c :* <->", "'", "x" * 32_000]
)
async def test_a_query_without_words_or_of_odd_ones_is_answered(service: Service, query: str) -> None:
    await store(service, "my dog is called Rex")
    body = {**OWNER, "query": query}
    answer = await service.http.post("/v1/local/memories/search", json=body)
    assert answer.status_code == 200
    assert [one["content"] for one in answer.json()["memories"]] == ["my dog is called Rex"]


@pytest.mark.parametrize(
    "fault",
    [
        {"query": ""},
        {"query": "a\0b"},
        {"query": "x" * 32_769},
        {"min_importance": 1.1},
        {"min_importance": "NaN"},
        {"n_results": 0},
        {"n_results": 101},
        {"persona_id": ""},
        {"player_id": "p\0"},
        {"memory_type": "Bad Type"},
        {"as_of": "yesterday"},
        {"as_of": "9999-12-31T23:59:59-14:00"},
    ],
)
async def test_a_bad_search_is_refused_with_a_reason(service: Service, fault: dict[str, Any]) -> None:
    answer = await service.http.post("/v1/local/memories/search", json={**OWNER, "query": "x", **fault})
    assert (answer.status_code, answer.json()["code"]) == (422, -32602)


async def test_an_unknown_persona_or_player_remembers_nothing(service: Service) -> None:
    await store(service, "my dog is called Rex")
    for who in ({"persona_id": "nobody"}, {"player_id": "nobody"}):
        answer = await service.http.post("/v1/local/memories/search", json={**OWNER, "query": "dog", **who})
        assert answer.json() == {"memories": []}


async def test_a_vector_that_is_none_stores_nothing(service: Service) -> None:
    await store(service, "a good one says how long the vectors are")
    for bad in ([float("nan")] * 384, [float("inf")] * 384, [1.0] * 3):
        service.embedder._vector = lambda _text, bad=bad: bad  # type: ignore[method-assign, misc]
        answer = await service.http.post("/v1/local/memories", json={**OWNER, "memories": [{"content": "x"}]})
        assert (answer.status_code, answer.json()["code"]) == (503, -32002)
    assert await service.rows.fetchval("SELECT count(*) FROM memory.memories") == 1


async def test_an_edited_text_is_found_by_its_new_words(service: Service) -> None:
    (one,) = await store(service, "my dog is called Rex")
    change = {**OWNER, "content": "my cat is called Tom", "importance": 0.9, "pinned": True}
    edited = (await service.http.patch(f"/v1/local/memories/{one}", json=change)).json()
    assert (edited["content"], edited["importance"], edited["pinned"]) == ("my cat is called Tom", 0.9, True)
    assert await service.search("cat") == ["my cat is called Tom"]
    row = await service.rows.fetchrow("SELECT words::text AS words FROM memory.memories WHERE id = $1", one)
    assert row is not None
    assert "rex" not in row["words"]


async def test_an_edited_text_leaves_no_trace_of_the_old_one(service: Service) -> None:
    told = service.turn("Did you know that canary 7 is my middle name?", created_at="2026-03-01T12:00:00Z")
    reply = service.turn(
        "I did not, and I shall keep it to myself", role="assistant", created_at="2026-03-01T12:00:01Z"
    )
    late = service.turn("Why is that, may I ask?", role="assistant", created_at="2026-03-01T12:00:02Z")
    await service.commit(told, reply)
    await service.remember(told, reply)
    await service.summarised("c1", "The canary name.")
    memory_id = await memory_of(service, "m1")
    edit = {**OWNER, "content": "Is it not odd that Ilse is my middle name?"}
    edited = (await service.http.patch(f"/v1/local/memories/{memory_id}", json=edit)).json()
    assert edited["content"] == edit["content"]
    await service.commit(late)
    await service.remember(late)
    for table in ("memories", "turns", "summaries"):
        dump = await service.rows.fetchval(f"SELECT string_agg(t::text, ' ') FROM memory.{table} t")
        assert "canar" not in (dump or "")
    rows = await service.rows.fetch("SELECT cues, lead_in FROM memory.memories ORDER BY ordinal")
    assert [row["lead_in"] for row in rows] == ["", edit["content"], ""]
    assert rows[0]["cues"] == cues_of(edit["content"]) != cues_of(told["content"])
    assert "odd that Ilse" in service.embedder.asked[-2] + service.embedder.asked[-3]
    assert (await service.context("x"))["summary"] is None
    assert (await service.context("x"))["turns"][0]["content"] == edit["content"]


async def test_an_edit_of_other_things_leaves_text_turns_and_summary(service: Service) -> None:
    turn = await service.learn("my dog is called Rex")
    await service.summarised("c1", "They met.")
    before = len(service.embedder.asked)
    edit = {**OWNER, "content": turn["content"], "pinned": True, "importance": 0.9}
    url = f"/v1/local/memories/{await memory_of(service, 'm1')}"
    assert (await service.http.patch(url, json=edit)).json()["pinned"]
    assert len(service.embedder.asked) == before
    assert (await service.context("x"))["summary"] == "They met."


@pytest.mark.parametrize("what", ["edit", "forget"])
async def test_vectors_are_made_while_nothing_is_locked_and_a_change_meanwhile_is_seen(
    service: Service, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    asked = service.turn("Do you like my dog Rex?", created_at="2026-03-01T12:00:00Z")
    reply = service.turn("Of course, who would not", role="assistant", created_at="2026-03-01T12:00:02Z")
    await service.commit(asked, reply)
    await service.remember(asked, reply)
    embed, times = service.embedder.embed, 0

    async def meanwhile(texts: Sequence[str], urgency: Urgency = Urgency.STORE) -> list[Vector]:
        nonlocal times
        times += 1
        if times == 1:
            await service.rows.execute("SET lock_timeout = '1s'")
            await service.rows.execute("UPDATE memory.turns SET metadata = '{}'")
            await service.rows.execute("UPDATE memory.memories SET content = content || ' indeed'")
        return await embed(texts, urgency)

    monkeypatch.setattr(service.embedder, "embed", meanwhile)
    url = f"/v1/local/memories/{await memory_of(service, 'm1')}"
    if what == "edit":
        answer = await service.http.patch(url, json={**OWNER, "content": "Do you like my cat?"})
    else:
        answer = await service.http.delete(url, params=OWNER)
    assert answer.status_code == 200
    assert times == 2
    row = await service.rows.fetchrow("SELECT content, lead_in FROM memory.memories WHERE source_message_ids[1] = 'm2'")
    lead_in = "Do you like my cat?" if what == "edit" else ""
    assert row is not None
    assert dict(row) == {"content": "Of course, who would not indeed", "lead_in": lead_in}
    assert service.embedder.asked[-1].endswith("Of course, who would not indeed")


async def test_a_memory_that_others_change_all_the_time_is_a_conflict_and_stays(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = service.turn("Do you like my dog Rex?", created_at="2026-03-01T12:00:00Z")
    reply = service.turn("Of course, who would not", role="assistant", created_at="2026-03-01T12:00:02Z")
    await service.commit(asked, reply)
    await service.remember(asked, reply)
    embed = service.embedder.embed

    async def meanwhile(texts: Sequence[str], urgency: Urgency = Urgency.STORE) -> list[Vector]:
        await service.rows.execute("UPDATE memory.memories SET content = content || '!'")
        return await embed(texts, urgency)

    monkeypatch.setattr(service.embedder, "embed", meanwhile)
    one = await memory_of(service, "m1")
    answer = await service.http.patch(f"/v1/local/memories/{one}", json={**OWNER, "content": "x"})
    assert answer.status_code == 409
    assert (await read(service, one))["content"].startswith("Do you like my dog Rex?!")


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


async def test_a_memory_is_not_merged_with_itself(service: Service) -> None:
    one, two = await store(service, "my dog is called Rex", "a dog named Rex lives with me")
    merge = "/v1/local/memories/merge"
    alone = await service.http.post(merge, json={**OWNER, "into": one, "others": [one, one]})
    assert (alone.status_code, alone.json()["code"]) == (422, -32602)
    beside = await service.http.post(merge, json={**OWNER, "into": one, "others": [one, two]})
    assert [part["id"] for part in beside.json()["merged_from"]] == [two]


async def test_merging_keeps_the_texts_that_go_as_provenance(service: Service) -> None:
    one, two, three = await store(service, "Rex is my dog", "my dog is called Rex", "a dog named Rex lives with me")
    merge = "/v1/local/memories/merge"
    await service.http.post(merge, json={**OWNER, "into": two, "others": [three]})
    merged = (await service.http.post(merge, json={**OWNER, "into": one, "others": [two]})).json()
    assert merged["content"] == "Rex is my dog"
    told = [(part["id"], part["content"]) for part in merged["merged_from"]]
    assert told == [(two, "my dog is called Rex"), (three, "a dog named Rex lives with me")]
    assert {part["merged_at"] > part["created_at"] for part in merged["merged_from"]} == {True}
    await service.http.patch(f"/v1/local/memories/{one}", json={**OWNER, "visibility": "public"})
    seen = await read(service, one, player_id="p2")
    assert (seen["content"], seen["merged_from"]) == ("Rex is my dog", [])


async def test_what_is_forgotten_leaves_no_trace(service: Service) -> None:
    secret = service.turn("Do you know that canary is my middle name?", created_at="2026-03-01T12:00:00Z")
    reply = service.turn(
        "I did not know that, and I shall keep it to myself for ever",
        role="assistant",
        created_at="2026-03-01T12:00:01Z",
    )
    await service.commit(secret, reply)
    await service.remember(secret, reply)
    await service.summarised("c1", "The canary name.")
    memory_id = await service.rows.fetchval("SELECT id FROM memory.memories WHERE source_message_ids[1] = 'm1'")
    answer = await service.http.delete(f"/v1/local/memories/{memory_id}", params=OWNER)
    assert answer.json() == {"memories": 1, "turns": 1, "summaries": 1}
    for table in ("memories", "turns", "summaries"):
        dump = await service.rows.fetchval(f"SELECT string_agg(t::text, ' ') FROM memory.{table} t")
        assert "canar" not in (dump or "")


async def memory_of(service: Service, message_id: str) -> str:
    found: str = await service.rows.fetchval(
        "SELECT id FROM memory.memories WHERE $1 = ANY (source_message_ids)", message_id
    )
    return found


async def forget(service: Service, memory_id: str) -> dict[str, int]:
    answer = await service.http.delete(f"/v1/local/memories/{memory_id}", params=OWNER)
    assert answer.status_code == 200, answer.text
    erased: dict[str, int] = answer.json()
    return erased


async def test_what_is_forgotten_leaves_no_trace_in_any_conversation_it_came_from(service: Service) -> None:
    await service.learn("canary is my middle name")
    asked = service.turn("Did I say that canary is my middle name?", conversation_id="c2")
    reply = service.turn(
        "You did, and I shall keep it to myself for ever, dear friend of mine",
        conversation_id="c2",
        role="assistant",
        created_at="2026-03-01T12:00:02Z",
    )
    await service.commit(asked, reply)
    await service.remember(asked, reply)
    await service.summarised("c1", "canary")
    await service.summarised("c2", "canary too")
    into, other = [await memory_of(service, message_id) for message_id in ("m1", "m2")]
    assert into != other
    merged = await service.http.post("/v1/local/memories/merge", json={**OWNER, "into": into, "others": [other]})
    assert merged.status_code == 200
    assert await service.rows.fetchval("SELECT count(*) FROM memory.memories WHERE lead_in LIKE '%canary%'") == 1
    assert await forget(service, into) == {"memories": 1, "turns": 2, "summaries": 2}
    for table in ("memories", "turns", "summaries"):
        dump = await service.rows.fetchval(f"SELECT string_agg(t::text, ' ') FROM memory.{table} t")
        assert "canar" not in dump


async def test_a_summary_made_before_a_forget_is_refused(service: Service) -> None:
    secret, other = service.turn("canary secret"), service.turn("hello there friend")
    await service.commit(secret, other)
    await service.remember(secret, other)
    assert (await forget(service, await memory_of(service, "m1")))["summaries"] == 0
    url = "/v1/local/conversations/c1/summary"
    draft = {"content": "They met.", "after_version": 0, "upto_message_id": "m2"}
    assert (await service.http.put(url, json=draft)).status_code == 409
    assert (await service.context("x"))["summary"] is None
    assert (await service.http.get("/v1/local/players/p1/export")).json()["summaries"] == []
    task = (await service.http.get(f"{url}-task", params=OWNER)).json()
    assert task["previous"] is None
    after = {**draft, "after_version": task["version"]}
    assert (await service.http.put(url, json=after)).status_code == 200
    assert (await service.context("x"))["summary"] == "They met."


async def remember_while(
    service: Service,
    monkeypatch: pytest.MonkeyPatch,
    turn: dict[str, Any],
    meanwhile: Callable[[], Awaitable[object]],
) -> httpx.Response:
    """`meanwhile` runs while the vectors are made."""
    asked, done = asyncio.Event(), asyncio.Event()
    embed = service.embedder.embed

    async def wait(texts: Sequence[str], urgency: Urgency = Urgency.STORE) -> list[Vector]:
        asked.set()
        await done.wait()
        return await embed(texts, urgency)

    monkeypatch.setattr(service.embedder, "embed", wait)
    async with asyncio.timeout(5):
        remembering = asyncio.create_task(service.remember(turn))
        await asked.wait()
        await meanwhile()
        done.set()
        return await remembering


async def test_an_erased_player_is_not_remembered_by_a_call_that_runs_meanwhile(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    turn = service.turn("canary secret")
    await service.commit(turn)
    answer = await remember_while(
        service, monkeypatch, turn, lambda: service.http.delete("/v1/local/players/p1", timeout=5)
    )
    assert answer.status_code == 404
    assert await service.rows.fetchval("SELECT count(*) FROM memory.memories") == 0
    assert await service.rows.fetchval("SELECT count(*) FROM memory.sources") == 0


async def test_a_question_forgotten_meanwhile_does_not_come_back_before_its_answer(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    await service.learn("Did I say that canary is my middle name?")
    reply = service.turn("You did, and I keep it to myself", role="assistant", created_at="2026-03-01T12:00:02Z")
    await service.commit(reply)
    question = await memory_of(service, "m1")
    answer = await remember_while(service, monkeypatch, reply, lambda: forget(service, question))
    assert answer.status_code == 404
    assert (await service.remember(reply)).json() == {"stored": 1}
    assert await service.rows.fetchval("SELECT lead_in FROM memory.memories") == ""


async def test_an_erase_waits_for_what_is_remembered_just_now_and_takes_it_too(service: Service) -> None:
    turn = await service.learn("canary secret")
    store = service.rows.transaction()
    await store.start()
    await service.rows.fetch("SELECT 1 FROM memory.turns FOR SHARE")
    await service.rows.execute(
        'INSERT INTO memory.memories SELECT (jsonb_populate_record(m, \'{"id": "late", "source_key": null}\')).*'
        " FROM memory.memories m"
    )
    erasing = asyncio.create_task(service.http.delete("/v1/local/players/p1"))
    async with asyncio.timeout(5), watching(service) as watcher:
        while not await watcher.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"):  # noqa: ASYNC110
            await asyncio.sleep(0.01)  # nothing announces that a statement waits
        await store.commit()
        assert (await erasing).json() == {"memories": 2, "turns": 1}
    assert (await service.remember(turn)).status_code == 404


@asynccontextmanager
async def watching(service: Service) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(service.dsn)
    yield connection
    await connection.close()


async def test_a_player_cannot_change_what_the_persona_knows_by_itself(service: Service) -> None:
    own, theirs = [(await store(service, "the bridge is down", player_id=None))[0], (await store(service, "mine"))[0]]
    url = f"/v1/local/memories/{own}"
    answers = [
        await service.http.patch(url, json={**OWNER, "content": "p1 is the true king"}),
        await service.http.delete(url, params=OWNER),
        await service.http.post("/v1/local/memories/merge", json={**OWNER, "into": theirs, "others": [own]}),
        await service.http.post("/v1/local/memories/merge", json={**OWNER, "into": own, "others": [theirs]}),
        await service.http.patch(
            f"/v1/local/memories/{theirs}", json={"persona_id": "aria", "player_id": None, "content": "x"}
        ),
    ]
    assert {answer.status_code for answer in answers} == {404}
    assert await service.search("bridge", player_id="p2") == ["the bridge is down"]
    edit = {"persona_id": "aria", "player_id": None, "content": "the bridge is up"}
    assert (await service.http.patch(url, json=edit)).json()["content"] == "the bridge is up"
    assert (await service.http.patch(url, json={"persona_id": "aria", "content": "unnamed"})).status_code == 422
    assert (await service.http.delete(url, params={"persona_id": "aria"})).json()["memories"] == 1


async def test_memories_of_different_visibility_are_not_merged(service: Service) -> None:
    one, two = await store(service, "where it is", "where the thing is")
    await service.http.patch(f"/v1/local/memories/{two}", json={**OWNER, "visibility": "public"})
    answer = await service.http.post("/v1/local/memories/merge", json={**OWNER, "into": two, "others": [one]})
    assert answer.status_code == 409
    assert (await read(service, one))["status"] == 200


async def test_merging_keeps_the_pin_and_the_last_access(service: Service) -> None:
    one, two = await store(service, "where it is", "where the thing is")
    await service.http.patch(f"/v1/local/memories/{two}", json={**OWNER, "pinned": True})
    await service.rows.execute("UPDATE memory.memories SET last_accessed = '2026-05-01Z' WHERE id = $1", two)
    body = {**OWNER, "into": one, "others": [two]}
    merged = (await service.http.post("/v1/local/memories/merge", json=body)).json()
    assert (merged["pinned"], merged["last_accessed"]) == (True, "2026-05-01T00:00:00Z")


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
    await service.summarised("c1", "canary")
    await service.summarised("c3", "kept", player_id="p2")
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


async def test_messages_that_wait_for_an_answer_are_exported_and_erased(service: Service) -> None:
    jobs = [
        {
            "tenant": "local",
            "job_id": f"job-{player}",
            "epoch": "e",
            "accepted_at_ms": 1_000,
            "submission": orjson.dumps(
                {"player_id": player, "message": f"canary of {player}", "persona_id": "aria"}
            ).decode(),
        }
        for player in ("p1", "p2")
    ]
    odd = [{**jobs[0], "job_id": "odd", "submission": "not JSON"}, {**jobs[0], "tenant": "elsewhere"}]
    await service.http.post("/v1/accepted-jobs/record", json={"jobs": [*jobs, *odd]})
    exported = (await service.http.get("/v1/local/players/p1/export")).json()
    assert [(one["job_id"], one["message"]) for one in exported["waiting"]] == [("job-p1", "canary of p1")]
    assert exported["waiting"][0]["accepted_at"] == "1970-01-01T00:00:01Z"
    await service.http.delete("/v1/local/players/p1")
    left = await service.rows.fetch("SELECT tenant_id, job_id FROM jobs.accepted ORDER BY tenant_id, job_id")
    assert [tuple(row) for row in left] == [("elsewhere", "job-p1"), ("local", "job-p2"), ("local", "odd")]


async def test_an_emptied_summary_does_not_outlive_its_player(service: Service) -> None:
    await service.learn("canary secret")
    await service.summarised("c1", "canary")
    await forget(service, await memory_of(service, "m1"))
    assert await service.rows.fetchval("SELECT count(*) FROM memory.summaries") == 1
    await service.http.delete("/v1/local/players/p1")
    assert await service.rows.fetchval("SELECT count(*) FROM memory.summaries") == 0


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
