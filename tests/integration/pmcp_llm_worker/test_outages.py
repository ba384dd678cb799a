"""What the worker does when a part of the house is gone, slow or empty, and when a client has little time."""

from __future__ import annotations

import asyncio
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from pmcp_common.bus_redis import RedisStreamBus
from pmcp_common.contracts import keys
from pmcp_common.contracts.jobs import Claim, Delta, End, JobState
from pmcp_common.contracts.memories import Role
from pmcp_common.queue_arq import ArqJobQueue
from pmcp_common.redis_link import connect
from pmcp_common.testing.fake_model import FakeModelServer
from pmcp_common.testing.fake_model_script import Behaviour, Kind, Script
from pmcp_common.testing.waiting import until
from tests.integration.pmcp_llm_worker.conftest import (
    Client,
    Services,
    running_worker,
    settings_for,
)
from tests.unit.pmcp_llm_worker.doubles import NOW, TENANT, aria, turn

FIRST_TOKEN_SECONDS = 0.6
IDLE_SECONDS = 0.4
FALLBACK_MARGIN_SECONDS = 0.2
EARLY_SECONDS = 0.05
ON_TIME_SECONDS = 0.2
SLOW_MS = 25
"""Between tokens: nobody plays the gateway here, and the keeper of the record leaves a job to it for a second."""


def now_ms() -> int:
    return int(time.time() * 1000)


async def recorded(services: Services, count: int) -> None:
    await services.until(lambda: len(services.record.rows) == count)


async def owes_nothing(client: Client) -> bool:
    return not await client.redis.exists(keys.SETTLED, keys.UNRECORDED)


async def end_in_the_new_life(client: Client, job_id: str) -> End:
    await until(lambda: client.redis.exists(keys.job(TENANT, job_id)))
    return await client.end(job_id)


async def test_an_accepted_job_is_recorded_and_leaves_the_record_when_it_has_ended(
    valkey_url: str, services: Services, model_server: FakeModelServer, client: Client
) -> None:
    model_server.script = Script.of(Behaviour(tokens=5000, gap_ms=SLOW_MS))
    async with running_worker(settings_for(valkey_url, services, model_server.url)):
        job_id = await client.submit(accepted_at_ms=now_ms())
        await recorded(services, 1)
        assert services.record.rows[job_id].epoch == (await client.redis.get(keys.EPOCH)).decode()
        await client.queue.cancel(TENANT, "local", job_id)
        await recorded(services, 0)
        await until(lambda: owes_nothing(client))


async def test_jobs_that_were_lost_with_the_data_of_redis_are_queued_again(
    valkey_url: str, services: Services, model_server: FakeModelServer, client: Client
) -> None:
    model_server.script = Script.of(Behaviour(tokens=5000, gap_ms=SLOW_MS))
    async with running_worker(settings_for(valkey_url, services, model_server.url)):
        job_id = await client.submit(accepted_at_ms=now_ms())
        waiting = await client.submit(accepted_at_ms=now_ms(), player_id=job_id)
        await recorded(services, 2)
        epoch = await client.redis.get(keys.EPOCH)
        await client.redis.flushall()
        ends = [await end_in_the_new_life(client, one) for one in (job_id, waiting)]
        page = await client.bus.read(TENANT, "local", job_id, 0)
        await recorded(services, 0)
    assert page.epoch != epoch.decode()
    assert [(end.state, end.message_id) for end in ends] == [("done", f"reply-{job_id}"), ("done", f"reply-{waiting}")]


async def test_a_redis_that_came_back_empty_gets_its_jobs_again_from_a_worker_that_lived_on(
    own_valkey: tuple[Any, str], tmp_path: Path, services: Services, model_server: FakeModelServer
) -> None:
    server, url = own_valkey
    redis = connect(url)
    bus = RedisStreamBus(redis, url)
    client = Client(redis, ArqJobQueue(redis, bus), bus)
    model_server.script = Script.of(Behaviour(tokens=5000, gap_ms=SLOW_MS))
    async with running_worker(settings_for(url, services, model_server.url)):
        job_id = await client.submit(accepted_at_ms=now_ms())
        await recorded(services, 1)
        server.kill()
        for file in (tmp_path / "own-valkey").rglob("*.*"):
            if file.is_file():
                file.unlink()
        server.start()
        end = await end_in_the_new_life(client, job_id)
        assert (await client.end(await client.submit())).state == "done"
    await redis.aclose()
    assert (end.state, end.attempt) == ("done", 1)


async def test_a_lost_job_whose_reply_was_stored_is_not_answered_a_second_time(
    valkey_url: str, services: Services, model_server: FakeModelServer, client: Client
) -> None:
    model_server.script = Script.of(Behaviour(Kind.HANG_AFTER_TOKENS, after_tokens=2))
    async with running_worker(settings_for(valkey_url, services, model_server.url, model_idle_seconds=60)):
        job_id = await client.submit(accepted_at_ms=now_ms())
        await recorded(services, 1)
        await model_server.wait_until(lambda seen: seen.tokens_sent == 2)
        said = turn(1, Role.ASSISTANT, "It was said.").model_copy(update={"message_id": f"reply-{job_id}"})
        services.memory.rows[said.message_id] = said
        asked = len(model_server.seen.requests)
        await client.redis.flushall()
        end = await end_in_the_new_life(client, job_id)
    assert (end.state, end.text) == ("done", "It was said.")
    assert len(model_server.seen.requests) == asked


async def test_a_lost_job_that_nobody_waits_for_any_more_is_dropped(
    valkey_url: str, services: Services, model_server: FakeModelServer, client: Client
) -> None:
    job_id = await client.submit(accepted_at_ms=int(NOW.timestamp() * 1000))
    model_server.script = Script.of(Behaviour(tokens=5000, gap_ms=SLOW_MS))
    async with running_worker(settings_for(valkey_url, services, model_server.url)):
        await recorded(services, 1)
        await client.redis.flushall()
        await recorded(services, 0)
    assert await client.redis.exists(keys.job(TENANT, job_id)) == 0


async def test_a_silent_redis_is_waited_for_and_the_reply_is_whole(
    own_valkey: tuple[Any, str], services: Services, model_server: FakeModelServer
) -> None:
    server, url = own_valkey
    redis = connect(url)
    bus = RedisStreamBus(redis, url)
    client = Client(redis, ArqJobQueue(redis, bus), bus)
    model_server.script = Script.of(Behaviour(tokens=60, gap_ms=20))
    async with running_worker(settings_for(url, services, model_server.url)):
        job_id = await client.submit(accepted_at_ms=now_ms())
        await model_server.wait_until(lambda seen: seen.tokens_sent > 5)
        server.signal(signal.SIGSTOP)
        await asyncio.sleep(1.5)  # the outage itself
        server.signal(signal.SIGCONT)
        end = await client.end(job_id)
        page = await bus.read(TENANT, "local", job_id, 0)
    await redis.aclose()
    assert end.state == "done"
    assert end.text.endswith(" w59")
    assert "".join(event.text for event in page.events if isinstance(event, Delta)) == end.text


@pytest.mark.parametrize(
    ("kind", "after", "seconds"),
    [
        (Kind.HANG_BEFORE_HEADERS, 0, FIRST_TOKEN_SECONDS),
        (Kind.HANG_AFTER_TOKENS, 0, FIRST_TOKEN_SECONDS),
        (Kind.HANG_AFTER_TOKENS, 3, IDLE_SECONDS),
        (Kind.BROKEN_500, 0, FIRST_TOKEN_SECONDS),
        (Kind.BUSY_503, 0, FIRST_TOKEN_SECONDS),
        (Kind.MISSING_404, 0, 0.0),
        (Kind.ERROR_LINE, 3, 0.0),
        (Kind.EOF_WITHOUT_DONE, 3, 0.0),
        (Kind.DROP, 3, 0.0),
        (Kind.RESET, 3, 0.0),
        (Kind.GARBAGE_LINE, 3, 0.0),
        (Kind.CUT_JSON, 3, 0.0),
        (Kind.HUGE_LINE, 3, 0.0),
    ],
)
async def test_every_misbehaviour_of_the_model_ends_in_its_time_and_never_as_a_whole_reply(
    valkey_url: str,
    services: Services,
    model_server: FakeModelServer,
    client: Client,
    kind: Kind,
    after: int,
    seconds: float,
) -> None:
    settings = settings_for(
        valkey_url,
        services,
        model_server.url,
        model_first_token_seconds=FIRST_TOKEN_SECONDS,
        model_idle_seconds=IDLE_SECONDS,
    )
    async with running_worker(settings):
        await client.end(await client.submit())
        model_server.script = Script.of()
        model_server.script.default = Behaviour(kind, after_tokens=after)
        began = time.monotonic()
        end = await client.end(await client.submit())
        took = time.monotonic() - began
    assert took < seconds + FALLBACK_MARGIN_SECONDS + (0.5 if seconds == 0 else 0)
    if kind in (Kind.HANG_BEFORE_HEADERS, Kind.HANG_AFTER_TOKENS):
        assert took > seconds - EARLY_SECONDS
    if after:
        assert (end.state, end.finish_reason) == ("failed", "interrupted")
    else:
        assert (end.state, end.response_type, end.degraded, end.rung) == ("done", "fallback", True, "canned")


async def test_a_model_that_failed_too_often_is_not_waited_for(
    valkey_url: str, services: Services, model_server: FakeModelServer, client: Client
) -> None:
    model_server.script = Script.of()
    model_server.script.default = Behaviour(Kind.HANG_BEFORE_HEADERS)
    settings = settings_for(valkey_url, services, model_server.url, model_first_token_seconds=0.2)
    async with running_worker(settings):
        for one in [await client.submit() for _ in range(5)]:
            await client.end(one)
        asked = len(model_server.seen.requests)
        began = time.monotonic()
        end = await client.end(await client.submit())
        took = time.monotonic() - began
    assert (end.response_type, end.degraded) == ("fallback", True)
    assert took < FALLBACK_MARGIN_SECONDS
    assert len(model_server.seen.requests) == asked


@pytest.mark.parametrize(
    ("behaviour", "rung", "finish_reason"),
    [
        (Behaviour(tokens=5, gap_ms=1), "full", "stop"),
        (Behaviour(tokens=5000, gap_ms=20), "shortened", "length"),
        (Behaviour(Kind.HANG_BEFORE_HEADERS), "canned", "fallback"),
    ],
)
async def test_a_reply_with_a_deadline_is_on_time_and_says_what_it_left_out(
    valkey_url: str,
    services: Services,
    model_server: FakeModelServer,
    client: Client,
    behaviour: Behaviour,
    rung: str,
    finish_reason: str,
) -> None:
    async with running_worker(settings_for(valkey_url, services, model_server.url)):
        await client.end(await client.submit())
        model_server.script = Script.of(behaviour)
        began = time.monotonic()
        end = await client.end(await client.submit(deadline_ms=800))
        took = time.monotonic() - began
        await model_server.wait_until(lambda seen: seen.live_generations == 0)
    assert took < 0.8
    assert (end.state, end.rung, end.finish_reason) == ("done", rung, finish_reason)
    assert end.text


async def test_a_deadline_that_has_passed_before_a_worker_came_gets_a_canned_line(
    valkey_url: str, services: Services, model_server: FakeModelServer, client: Client
) -> None:
    job_id = await client.submit(deadline_ms=20)
    await asyncio.sleep(0.03)  # the deadline itself
    async with running_worker(settings_for(valkey_url, services, model_server.url)):
        end = await client.end(job_id)
    assert (end.state, end.rung) == ("done", "canned")
    assert end.text


@pytest.mark.parametrize("player_id", ["the same", "another"])
async def test_a_deadline_is_kept_behind_a_slow_reply_though_no_gateway_watches(
    valkey_url: str, services: Services, model_server: FakeModelServer, client: Client, player_id: str
) -> None:
    """Behind the slow turn of its own conversation, and behind one that holds the only worker."""
    settings = settings_for(
        valkey_url, services, model_server.url, worker_max_jobs=1, model_idle_seconds=60, model_first_token_seconds=60
    )
    async with running_worker(settings):
        await client.end(await client.submit())  # the worker has seen the persona
        model_server.script = Script.of(Behaviour(Kind.HANG_BEFORE_HEADERS))
        slow = await client.submit(player_id="the same")
        await model_server.wait_until(lambda seen: seen.live_generations == 1)
        began = time.monotonic()
        end = await client.end(await client.submit(player_id=player_id, deadline_ms=1500))
        took = time.monotonic() - began
        await client.queue.cancel(TENANT, "local", slow)
    assert abs(took - 1.5) < ON_TIME_SECONDS
    assert (end.state, end.rung, end.response_type) == ("done", "canned", "fallback")
    assert end.text in aria().fallback_lines


async def test_a_deadline_is_kept_when_the_worker_died_with_half_the_reply(
    valkey_url: str, services: Services, model_server: FakeModelServer, client: Client
) -> None:
    began = time.monotonic()
    job_id = await client.submit(deadline_ms=500)
    claim = await client.queue.claim(TENANT, job_id)
    assert isinstance(claim, Claim)
    await client.bus.append([(claim, Delta(job_id, 1, 1, "I am"))])
    ended = asyncio.create_task(client.end(job_id))
    while left := await client.queue.expire(TENANT, "local", job_id):  # noqa: ASYNC110 - as a gateway does
        await asyncio.sleep(left)
    end = await ended
    assert abs(time.monotonic() - began - 0.5) < ON_TIME_SECONDS
    assert (end.state, end.finish_reason, end.rung, end.text) == ("done", "length", "shortened", "I am")


async def test_of_a_cancelled_reply_only_what_was_heard_is_stored(
    valkey_url: str, services: Services, model_server: FakeModelServer, client: Client
) -> None:
    model_server.script = Script.of(Behaviour(tokens=5000, gap_ms=5))
    async with running_worker(settings_for(valkey_url, services, model_server.url)):
        job_id = await client.submit()
        await model_server.wait_until(lambda seen: seen.tokens_sent > 30)
        await client.queue.cancel(TENANT, "local", job_id, heard_chars=12)
        end: End = await client.end(job_id)
    assert end.state == JobState.CANCELLED
    assert len(end.text) > 12
    assert services.memory.rows[end.message_id].content == end.text[:12]
    assert services.memory.remembered == []
