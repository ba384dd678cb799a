"""Memories that a client stores, and what a search of them answers: all or none, and refusals with a reason."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from tests.integration.pmcp_memory.conftest import Service
from tests.integration.pmcp_memory.memories import OWNER, read, store


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
