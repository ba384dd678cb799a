"""The worker as a whole on real Valkey and arq: replies, off-path work, outages, and the way out."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import IO, Any

import httpx
import orjson
import pytest

from pmcp_common.bus_redis import RedisStreamBus
from pmcp_common.contracts import keys
from pmcp_common.contracts.ends import end_without_model
from pmcp_common.contracts.jobs import Claim, Delta, JobState, Verdict
from pmcp_common.contracts.memories import CommitTurns, Role
from pmcp_common.queue_arq import ArqJobQueue, QueueLimits
from pmcp_common.redis_link import Script as LuaScript
from pmcp_common.redis_link import connect
from pmcp_common.testing.fake_model import FakeModelServer
from pmcp_common.testing.fake_model_script import Behaviour, Kind, Script
from pmcp_common.testing.waiting import until
from pmcp_llm_worker import turn_spool
from pmcp_llm_worker.models_board_redis import RedisModelsBoard
from pmcp_llm_worker.turn_spool_redis import RedisTurnSpool
from tests.integration.pmcp_llm_worker.conftest import (
    WAIT_SECONDS,
    Client,
    Services,
    running_worker,
    settings_for,
)
from tests.unit.pmcp_llm_worker.doubles import TENANT, turn

LEASE_SECONDS = QueueLimits().lease_seconds


async def test_a_message_is_answered_stored_and_remembered(
    valkey_url: str, services: Services, model_server: FakeModelServer, client: Client
) -> None:
    async with running_worker(settings_for(valkey_url, services, model_server.url)):
        job_id = await client.submit()
        end = await client.end(job_id)
        assert (end.state, end.persisted, end.model) == ("done", True, "llama3.1:8b")
        assert "marker" in end.text
        assert services.memory.rows[end.message_id].content == end.text
        await services.until(lambda: bool(services.personas.interactions))
    assert services.memory.remembered[0].message_ids == (end.user_message_id, end.message_id)
    assert f"request-{job_id}" in services.request_ids


NOT_OF_ONE_REPLY = {"append", "reap", "renew", "ledger", "recorded", "BLMPOP", "ZRANGEBYSCORE", "ZREM"}
"""Shared by replies, or by the clock."""
OF_THE_TEST = {"XREAD", "HMGET", "XRANGE", "MULTI", "EXEC"}
OF_REPLIES = (keys.REPLY_QUEUE, keys.SPOOL, "sights")


async def test_a_reply_costs_the_worker_four_round_trips_beside_its_appends(
    valkey_url: str, services: Services, model_server: FakeModelServer, client: Client
) -> None:
    """Waking up, claiming, declaring, ending: whatever else it asks of Redis is not for this reply alone."""
    folder = files("pmcp_common") / "lua"
    names = [Path(file.name).stem for file in folder.iterdir() if not file.name.startswith("prelude")]
    scripts = {LuaScript(client.redis, name)._script.sha: name for name in names}
    async with running_worker(settings_for(valkey_url, services, model_server.url)), connect(valkey_url) as watching:
        await client.end(await client.submit())  # the persona is known from now on
        async with watching.monitor() as monitor:
            job_id = await client.submit()
            seen: list[str] = []
            async with asyncio.timeout(WAIT_SECONDS):
                while "finish" not in seen:
                    told = await monitor.next_command()
                    words = told["command"].split()
                    about_it = any(name in told["command"] for name in (job_id, *OF_REPLIES))
                    if about_it and told["client_type"] != "lua":
                        seen.append(scripts[words[1]] if words[0] == "EVALSHA" else words[0])
        await client.end(job_id)
    assert [one for one in seen if one not in NOT_OF_ONE_REPLY | OF_THE_TEST] == [
        "submit",
        "claim",
        "commit",
        "finish",
    ]


async def test_a_crowd_is_answered_without_mixing_replies(
    valkey_url: str, services: Services, model_server: FakeModelServer, client: Client
) -> None:
    model_server.script = Script.of(gap_ms=2, tokens=20)
    async with running_worker(settings_for(valkey_url, services, model_server.url, worker_max_jobs=8)):
        jobs = {n: await client.submit(message=f"Hello [[n-{n}-n]]") for n in range(30)}
        ends = {n: await client.end(job_id) for n, job_id in jobs.items()}
    assert all(f"n-{n}-n" in end.text for n, end in ends.items())
    assert {end.state for end in ends.values()} == {"done"}
    assert model_server.seen.peak_live_generations <= 8


async def test_both_dialects_answer(
    valkey_url: str, services: Services, model_server: FakeModelServer, client: Client
) -> None:
    async with running_worker(settings_for(valkey_url, services, model_server.url, model_api="openai")):
        end = await client.end(await client.submit())
    assert (end.state, end.provider) == ("done", "openai")


async def test_a_cancel_closes_the_models_connection(
    valkey_url: str, services: Services, model_server: FakeModelServer, client: Client
) -> None:
    model_server.script = Script.of(Behaviour(tokens=5000, gap_ms=10))
    async with running_worker(settings_for(valkey_url, services, model_server.url)):
        job_id = await client.submit()
        await model_server.wait_until(lambda seen: seen.tokens_sent > 5)
        assert await client.queue.cancel(TENANT, "local", job_id) == "cancelling"
        end = await client.end(job_id)
        await model_server.wait_until(lambda seen: seen.live_generations == 0)
    assert (end.state, end.finish_reason) == ("cancelled", "cancelled")
    assert end.text


async def test_without_the_model_the_worker_runs_and_says_a_marked_line(
    valkey_url: str, services: Services, model_server: FakeModelServer, client: Client
) -> None:
    model_server.script.models = ("other:1b",)
    async with running_worker(settings_for(valkey_url, services, model_server.url)):
        end = await client.end(await client.submit())
        board = await until(lambda: _board(client))
    assert (end.state, end.response_type, end.degraded) == ("done", "fallback", True)
    entry = next(iter(board.values()))
    assert (entry["ok"], entry["available_models"]) == (False, ["other:1b"])
    assert await _board(client) == {}


async def _spool_is_empty(client: Client) -> bool:
    return not await RedisTurnSpool(client.redis).oldest()


async def _board(client: Client) -> dict[str, Any]:
    found = await RedisModelsBoard(client.redis).entries(TENANT)
    return {name: orjson.loads(entry) for name, entry in found.items()}


async def test_turns_are_spooled_while_memory_is_away_and_come_over_once(
    valkey_url: str,
    services: Services,
    model_server: FakeModelServer,
    client: Client,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(turn_spool, "FLUSH_SECONDS", 0.05)
    services.away = True
    async with running_worker(settings_for(valkey_url, services, model_server.url)):
        end = await client.end(await client.submit())
        assert (end.state, end.persisted, end.memory) == ("done", False, "unavailable")
        assert services.memory.rows == {}
        services.away = False
        await services.until(lambda: end.message_id in services.memory.rows)
        await until(lambda: _spool_is_empty(client))
    assert services.memory.rows[end.message_id].content == end.text


async def test_spooled_turns_are_kept_in_order_and_refused_ones_set_aside(client: Client) -> None:
    spool = RedisTurnSpool(client.redis)
    for number in range(2):
        await spool.put(TENANT, CommitTurns(turns=(turn(number, Role.USER, f"words {number}"),)))
    first, second = await spool.oldest()
    assert [entry.turns.turns[0].content for entry in (first, second)] == ["words 0", "words 1"]
    await spool.set_aside(first, "refused")
    await spool.remove(second)
    assert await spool.oldest() == []
    assert await client.redis.xlen(keys.SPOOL_REFUSED) == 1


async def test_a_spooled_entry_that_cannot_be_read_is_set_aside_and_holds_up_nothing(client: Client) -> None:
    spool = RedisTurnSpool(client.redis)
    damaged: list[dict[Any, Any]] = [
        {"tenant": TENANT, "turns": '{"turns": [], "of_another_version": 1}'},
        {"tenant": TENANT},
        {"tenant": TENANT, "turns": "not JSON"},
    ]
    for fields in damaged:
        await client.redis.xadd(keys.SPOOL, fields)
    await spool.put(TENANT, CommitTurns(turns=(turn(0, Role.USER, "words"),)))
    assert [entry.turns.turns[0].content for entry in await spool.oldest()] == ["words"]
    assert await client.redis.xlen(keys.SPOOL_REFUSED) == len(damaged)
    assert await client.redis.xlen(keys.SPOOL) == 1


async def test_a_reply_whose_worker_died_is_continued_by_another(
    valkey_url: str, services: Services, model_server: FakeModelServer, client: Client
) -> None:
    model_server.script = Script.of(Behaviour(text="I am Aria."))
    short = ArqJobQueue(client.redis, client.bus, QueueLimits(lease_seconds=0.05))
    job_id = await client.submit()
    claim = await short.claim(TENANT, job_id)
    assert isinstance(claim, Claim)
    await short._bus.append([(claim, Delta(job_id, 1, 1, "I am"))])
    await client.redis.zadd(keys.RUNNING, {f"{TENANT}/{job_id}": 1})  # its lease has ended
    async with running_worker(settings_for(valkey_url, services, model_server.url)):
        end = await client.end(job_id)
    assert (end.state, end.finish_reason, end.text, end.attempt) == ("done", "stop", "I am Aria.", 2)
    assert model_server.seen.requests[-1].messages[-1] == {"role": "assistant", "content": "I am"}


async def test_a_whole_reply_whose_worker_died_before_its_rows_is_stored_without_the_model(
    valkey_url: str, services: Services, model_server: FakeModelServer, client: Client
) -> None:
    job_id = await client.submit()
    claim = await client.queue.claim(TENANT, job_id)
    assert isinstance(claim, Claim)
    await client.bus.append([(claim, Delta(job_id, 1, 1, "I am Aria."))])
    whole = end_without_model(replace(claim, last_seq=1), "I am Aria.", state=JobState.DONE, finish_reason="stop")
    await client.queue.declare(claim, Verdict(replace(whole, text="", model="m1", tokens_used=4)))
    await client.redis.zadd(keys.RUNNING, {f"{TENANT}/{job_id}": 1})  # its lease has ended
    async with running_worker(settings_for(valkey_url, services, model_server.url)):
        end = await client.end(job_id)
    assert (end.state, end.finish_reason, end.text, end.attempt) == ("done", "stop", "I am Aria.", 2)
    assert (end.model, end.tokens_used, end.persisted) == ("m1", 4, True)
    assert services.memory.rows[end.message_id].content == "I am Aria."
    assert not model_server.seen.requests


async def test_a_paused_worker_that_wakes_after_its_successor_stores_no_row(
    valkey_url: str, services: Services, model_server: FakeModelServer, client: Client, free_port: int
) -> None:
    model_server.script = Script.of(
        Behaviour(text="Ready."), Behaviour(tokens=12, gap_ms=50), Behaviour(text="w0 w1 and so on.")
    )
    with worker_process(valkey_url, services, model_server.url, free_port) as process:
        await client.end(await client.submit())  # the process runs
        ready = model_server.seen.tokens_sent
        job_id = await client.submit()
        await model_server.wait_until(lambda seen: seen.tokens_sent >= ready + 3)
        process.send_signal(signal.SIGSTOP)
        await model_server.wait_until(lambda seen: seen.live_generations == 0)  # it has the whole text, unread
        await client.redis.zadd(keys.RUNNING, {f"{TENANT}/{job_id}": 1})  # its lease has ended
        async with running_worker(settings_for(valkey_url, services, model_server.url)):
            end = await client.end(job_id)
            process.send_signal(signal.SIGCONT)
            assert process.stderr is not None
            await asyncio.to_thread(until_line, process.stderr, "reply given up")
    assert (end.state, end.attempt) == ("done", 2)
    assert end.text.endswith("and so on.")
    assert services.memory.rows[end.message_id].content == end.text


def until_line(lines: IO[str], words: str) -> None:
    assert any(words in line for line in lines)


@contextmanager
def worker_process(valkey_url: str, services: Services, model_url: str, port: int) -> Iterator[subprocess.Popen[str]]:
    environment = {
        "PMCP_REDIS_URL": valkey_url,
        "PMCP_PERSONA_URL": services.url,
        "PMCP_MEMORY_URL": services.url,
        "PMCP_MODEL_URL": model_url,
        "PMCP_WORKER_PORT": str(port),
        "PATH": "",
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "pmcp_llm_worker"], env=environment, stderr=subprocess.PIPE, text=True
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


async def test_a_draining_worker_hands_its_reply_to_another_at_once(
    valkey_url: str, services: Services, model_server: FakeModelServer, client: Client
) -> None:
    model_server.script = Script.of(Behaviour(Kind.HANG_AFTER_TOKENS, after_tokens=3), tokens=8)
    settings = settings_for(valkey_url, services, model_server.url)
    async with running_worker(settings):
        job_id = await client.submit()
        await model_server.wait_until(lambda seen: seen.tokens_sent == 3)
    page = await client.bus.read(TENANT, "local", job_id, 0)
    assert page.state is JobState.QUEUED
    began = time.monotonic()
    async with running_worker(settings):
        end = await client.end(job_id)
    assert time.monotonic() - began < LEASE_SECONDS / 2
    assert (end.state, end.attempt) == ("done", 2)
    assert end.text.endswith("w1 w2 w3 w4 w5 w6 w7")
    assert end.text.count("w1") == 1


async def test_a_restarted_redis_is_waited_for(
    own_valkey: tuple[Any, str], services: Services, model_server: FakeModelServer
) -> None:
    server, url = own_valkey
    redis = connect(url)
    bus = RedisStreamBus(redis, url)
    client = Client(redis, ArqJobQueue(redis, bus), bus)
    async with running_worker(settings_for(url, services, model_server.url)):
        assert (await client.end(await client.submit())).state == "done"
        server.kill()
        server.start()
        async with asyncio.timeout(2 * WAIT_SECONDS):
            assert (await client.end(await client.submit())).state == "done"
    await redis.aclose()


async def test_the_process_serves_its_probes_and_leaves_on_sigterm(
    valkey_url: str, services: Services, model_server: FakeModelServer, client: Client, free_port: int
) -> None:
    with worker_process(valkey_url, services, model_server.url, free_port) as process:
        end = await client.end(await client.submit())
        assert end.state == "done"
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{free_port}") as probes:
            assert (await probes.get("/healthz")).json() == {"status": "ok"}
            assert (await probes.get("/readyz")).json() == {"status": "ok"}
            metrics = (await probes.get("/metrics")).text
        assert 'pmcp_replies_total{outcome="done"} 1.0' in metrics
        assert "pmcp_job_pickup_seconds_bucket" in metrics
        assert "pmcp_ttft_seconds_bucket" in metrics
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        _, errors = await asyncio.to_thread(process.communicate, timeout=WAIT_SECONDS)
    assert process.returncode == 0
    assert time.monotonic() - began < WAIT_SECONDS
    lines = [orjson.loads(line) for line in errors.splitlines()]
    ended = next(line for line in lines if line["event"] == "reply ended")
    assert ended["request_id"].startswith("request-")
    assert end.text not in errors
