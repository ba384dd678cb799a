"""A player erased: all that was said and remembered, whatever waits, whoever writes meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import orjson
import pytest

from tests.integration.pmcp_memory.conftest import Service
from tests.integration.pmcp_memory.memories import forget, memory_of, remember_while


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


async def test_a_player_is_exported_and_erased_in_one_call(service: Service) -> None:
    await service.learn("canary one")
    await service.learn("canary two", persona_id="kira", conversation_id="c2")
    await service.learn("mine", player_id="p2", conversation_id="c3")
    await service.summarised("c1", "canary")
    await service.summarised("c3", "kept", player_id="p2")
    exported = await service.records()
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
    exported = await service.records()
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


@asynccontextmanager
async def watching(service: Service) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(service.dsn)
    yield connection
    await connection.close()
