"""A gateway's life and its neighbours' deaths: slow readers, vanished players, Redis away, deploys."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import signal
import subprocess
import sys
import time
from typing import Any

import httpx
import pytest
from prometheus_client import REGISTRY
from pydantic import SecretStr
from redis.asyncio import Redis
from websockets.asyncio.client import connect

from pmcp_common.contracts import closing, keys
from pmcp_common.redis_link import connect as connect_redis
from pmcp_common.testing.waiting import until

from .conftest import WAIT_SECONDS, Gateway, Peers, Player, StartGateway, Worker

CHAT = "persona.chat_stream"
HELLO = {"message": "Hello", "persona_id": "Aria"}
ON_TIME_SECONDS = 0.2


async def get(gateway: Gateway, path: str) -> httpx.Response:
    async with httpx.AsyncClient(trust_env=False) as http:
        return await http.get(f"http://{gateway.address}{path}")


async def test_it_says_that_it_is_healthy_as_it_always_did(gateway: Gateway) -> None:
    assert (await get(gateway, "/")).json() == {
        "status": "healthy",
        "server": "Persona MCP Server",
        "version": "0.1.0",
    }
    assert (await get(gateway, "/healthz")).status_code == 200


async def test_it_is_ready_when_its_services_are(gateway: Gateway, peers: Peers) -> None:
    assert (await get(gateway, "/readyz")).status_code == 200
    peers.away = True
    answer = await get(gateway, "/readyz")
    assert answer.status_code == 503
    assert set(answer.json()["reasons"]) == {"persona", "memory"}


async def test_metrics_name_methods_and_nobody(gateway: Gateway, player: Player) -> None:
    session_id = (await player.result("session.get_info"))["session_id"]
    await player.ask("no.such.method")
    text = (await get(gateway, "/metrics")).text
    assert 'pmcp_gateway_requests_total{method="session.get_info",outcome="ok"}' in text
    assert 'method="unknown",outcome="method_not_found"' in text
    assert "no.such.method" not in text
    assert session_id not in text


async def test_a_reader_who_is_too_slow_is_cut_off_and_can_read_the_rest_later(
    start_gateway: StartGateway, worker: Worker
) -> None:
    gateway = await start_gateway(gateway_outbox_bytes=512 * 1024)
    async with gateway.player(max_size=None) as good, gateway.player(max_queue=1) as stalled:
        start = await stalled.ask(CHAT, {**HELLO, "player_id": "stalled"})
        reply = await worker.take()
        cut_before = _cut_off_count()
        for _ in range(400):
            await reply.say("x" * 64_000)
            if _cut_off_count() > cut_before:
                break
        async with asyncio.timeout(WAIT_SECONDS):
            while _cut_off_count() == cut_before:
                await good.result("persona.list")
        assert await stalled.close_code() == 4010
        last_seq = reply.length
        end = await reply.end()
        where = {"stream_id": start["result"]["stream_id"], "after_seq": last_seq - 2}
        rest = (await good.result("stream.read", where))["events"]
        assert [event["seq"] for event in rest] == [last_seq - 1, last_seq, last_seq + 1]
        assert rest[-1]["sha256"] == end.sha256


def _cut_off_count() -> float:
    return REGISTRY.get_sample_value("pmcp_gateway_closed_total", {"code": "4010"}) or 0.0


@pytest.mark.parametrize(("policy", "heard"), [("stop", None), ("reset", b"0")])
async def test_a_reply_whose_player_does_not_come_back_is_ended_when_it_was_asked_to_be(
    start_gateway: StartGateway, worker: Worker, redis: Redis, policy: str, heard: bytes | None
) -> None:
    gateway = await start_gateway(gateway_interrupt_seconds=0.05)
    async with gateway.player() as player:
        await player.ask(CHAT, {**HELLO, "on_interrupt": policy})
        reply = await worker.take()
    job = keys.job("local", reply.claim.submission.job_id)
    await until(lambda: redis.hget(job, "cancel"))
    assert await redis.hget(job, "heard_chars") == heard  # type: ignore[misc]


async def test_a_gateway_that_ends_leaves_what_is_to_be_decided_to_another_one(
    start_gateway: StartGateway, worker: Worker, redis: Redis
) -> None:
    leaving = await start_gateway(gateway_interrupt_seconds=0.05)
    await redis.delete(keys.INTERRUPTIONS)
    async with leaving.player() as player:
        await player.ask(CHAT, {**HELLO, "on_interrupt": "stop"})
        reply = await worker.take()
        leaving.server.should_exit = True
        assert await player.close_code() == 1012
    await until(lambda: redis.zcard(keys.INTERRUPTIONS))
    job = keys.job("local", reply.claim.submission.job_id)
    assert await redis.hget(job, "cancel") is None  # type: ignore[misc]
    await start_gateway()
    await until(lambda: redis.hget(job, "cancel"))
    await until(lambda: _is_empty(redis))


async def _is_empty(redis: Redis) -> bool:
    return int(await redis.zcard(keys.INTERRUPTIONS)) == 0


async def test_a_reply_whose_player_came_back_in_time_goes_on(
    start_gateway: StartGateway, worker: Worker, redis: Redis
) -> None:
    gateway = await start_gateway(gateway_interrupt_seconds=0.1)
    async with gateway.player() as player:
        opened = await player.result("session.open")
        start = (await player.ask(CHAT, {**HELLO, "on_interrupt": "stop"}))["result"]
        reply = await worker.take()
    async with gateway.player() as player:
        where = {"stream_id": start["stream_id"], "epoch": start["epoch"], "last_seq": 0}
        resume = {name: opened[name] for name in ("session_id", "resume_token")}
        await player.result("session.resume", {**resume, "streams": [where]})
        await until(lambda: redis.zcard(keys.INTERRUPTIONS))
        await until(lambda: _is_empty(redis))
        assert await redis.hget(keys.job("local", start["stream_id"]), "cancel") is None  # type: ignore[misc]
        await reply.end()
        assert (await player.receive())["params"]["state"] == "done"


async def test_a_deadline_is_kept_even_without_any_worker(gateway: Gateway, player: Player) -> None:
    began = time.monotonic()
    start = (await player.ask(CHAT, {**HELLO, "deadline_ms": 300}))["result"]
    chunk, end = (await player.receive())["result"], (await player.receive())["result"]
    assert abs(time.monotonic() - began - 0.3) < ON_TIME_SECONDS
    assert (end["stream_id"], end["event_type"]) == (start["stream_id"], "stream_complete")
    assert (end["seq"], end["finish_reason"], end["rung"], end["degraded"]) == (2, "fallback", "canned", True)
    assert end["full_response"] == chunk["chunk"]
    assert end["sha256"] == hashlib.sha256(chunk["chunk"].encode()).hexdigest()


async def test_a_deadline_is_kept_behind_a_slow_turn_of_the_same_conversation(
    gateway: Gateway, player: Player, worker: Worker
) -> None:
    await player.ask(CHAT, HELLO, "slow")
    await worker.take()
    began = time.monotonic()
    result = await player.result("persona.chat", {**HELLO, "deadline_ms": 300})
    assert abs(time.monotonic() - began - 0.3) < ON_TIME_SECONDS
    assert (result["rung"], result["response_type"], result["state"]) == ("canned", "fallback", "done")
    assert result["response"]


@pytest.mark.parametrize("deadline", [0, -1, 300_001, 31_536_000_000, "100", 1.5, 2**63])
async def test_a_deadline_that_is_none_is_refused(player: Player, deadline: object) -> None:
    frame = await player.ask("persona.chat", {**HELLO, "deadline_ms": deadline})
    assert frame["error"]["code"] == -32602
    assert "deadline_ms" in frame["error"]["message"]


async def test_a_cancel_says_how_much_was_heard(player: Player, worker: Worker, redis: Redis) -> None:
    start = (await player.ask(CHAT, HELLO, "s"))["result"]
    reply = await worker.take()
    cancel = {"stream_id": start["stream_id"], "heard_chars": 4}
    assert (await player.result("stream.cancel", cancel))["status"] == "cancelling"
    assert await redis.hget(keys.job("local", start["stream_id"]), "heard_chars") == b"4"  # type: ignore[misc]
    await reply.end("cancelled")
    await player.receive()
    for heard in (-1, "4", 2**63):
        error = (await player.ask("stream.cancel", {**cancel, "heard_chars": heard}))["error"]
        assert error["code"] == -32602
    assert (await player.result("stream.cancel", cancel))["status"] == "cancelled"


async def nobody_is_connected() -> bool:
    return not REGISTRY.get_sample_value("pmcp_gateway_connections")


async def test_a_socket_that_answers_no_ping_is_found(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gateway.server.config, "ws_ping_interval", 0.05)
    monkeypatch.setattr(gateway.server.config, "ws_ping_timeout", 0.05)
    monkeypatch.setattr("pmcp_gateway.server.DEAD_SECONDS", 0.05)
    host, port = gateway.address.split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(
        b"GET /mcp HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    async with asyncio.timeout(WAIT_SECONDS):
        with contextlib.suppress(ConnectionResetError):
            while await reader.read(1000):
                pass
    await until(nobody_is_connected)
    writer.close()


async def test_a_player_who_leaves_does_not_end_the_reply(gateway: Gateway, worker: Worker) -> None:
    async with gateway.player() as player:
        start = await player.ask(CHAT, HELLO)
        reply = await worker.take()
        await reply.say("Still ")
        await player.receive()
    await reply.say("here")
    await reply.end()
    async with gateway.player() as player:
        page = await player.result("stream.read", {"stream_id": start["result"]["stream_id"], "after_seq": 1})
        assert (page["state"], page["events"][0]["chunk"]) == ("done", "here")


async def test_while_redis_is_away_sockets_stay_and_messages_are_refused(
    start_gateway: StartGateway, own_valkey: tuple[Any, str]
) -> None:
    server, url = own_valkey
    gateway = await start_gateway(redis_url=SecretStr(url), gateway_redis_seconds=0.3)
    async with gateway.player() as early:
        await early.result("persona.switch", {"persona_id": "Aria"})
        await asyncio.to_thread(server.stop)
        await _is_refused(early)
        async with gateway.player() as late:
            await _is_refused(late)
            await asyncio.to_thread(server.start)
            assert (await late.result("session.get_info"))["active_persona_id"] is None
            assert (await early.result("session.get_info"))["active_persona_name"] == "Aria"


async def test_a_silent_redis_is_as_good_as_none(start_gateway: StartGateway, own_valkey: tuple[Any, str]) -> None:
    server, url = own_valkey
    gateway = await start_gateway(redis_url=SecretStr(url), gateway_redis_seconds=0.3)
    async with gateway.player() as player:
        await player.result("session.get_info")
        server.signal(signal.SIGSTOP)
        try:
            await _is_refused(player)
        finally:
            server.signal(signal.SIGCONT)
        assert (await player.result("session.get_info"))["message_count"] == 0


async def _is_refused(player: Player) -> None:
    started = time.monotonic()
    error = (await player.ask("persona.chat", HELLO))["error"]
    assert (error["code"], error["data"]["retryable"]) == (-32007, True)
    assert error["data"]["retry_after"] > 0
    assert time.monotonic() - started < 3


async def test_a_reply_survives_the_restart_of_redis(start_gateway: StartGateway, own_valkey: tuple[Any, str]) -> None:
    server, url = own_valkey
    gateway = await start_gateway(redis_url=SecretStr(url), gateway_redis_seconds=0.3)
    redis = connect_redis(url)
    async with gateway.player() as player:
        await player.ask(CHAT, HELLO)
        reply = await Worker(redis, url).take()
        await reply.say("one ")
        await player.receive()
        await asyncio.to_thread(server.stop)
        await asyncio.to_thread(server.start)
        await reply.say("two")
        await reply.end()
        frames = [(await player.receive())["result"] for _ in range(2)]
        assert [frame["seq"] for frame in frames] == [2, 3]
        assert frames[1]["full_response"] == "one two"
    await redis.aclose()


async def test_a_stream_whose_data_is_lost_still_ends_with_a_position_and_a_hash(
    player: Player, worker: Worker, redis: Redis
) -> None:
    await player.ask(CHAT, HELLO)
    reply = await worker.take()
    await reply.say("Well ")
    await player.receive()
    await redis.flushall()
    await redis.mset({keys.EPOCH: "another", keys.RESTORED: "another"})  # nothing more will come back
    frame = await player.receive()
    assert (frame["result"]["event_type"], frame["result"]["state"]) == ("stream_error", "failed")
    assert (frame["result"]["seq"], frame["result"]["partial_response"]) == (2, "Well ")
    assert frame["result"]["sha256"] == hashlib.sha256(b"Well ").hexdigest()
    assert frame["error"]["code"] == -32006


async def test_headers_that_never_end_are_cut_off(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pmcp_gateway.server.HEADER_SECONDS", 0.1)
    host, port = gateway.address.split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"GET /mcp HTTP/1.1\r\nHost: x\r\nX-Slow: ")
    async with asyncio.timeout(WAIT_SECONDS):
        with contextlib.suppress(ConnectionResetError):
            assert await reader.read() == b""
    writer.close()


async def test_headers_over_64_kib_are_refused(gateway: Gateway) -> None:
    host, port = gateway.address.split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"GET /mcp HTTP/1.1\r\nHost: x\r\n" + b"X-Many: y\r\n" * 8000)
    async with asyncio.timeout(WAIT_SECONDS):
        assert (await reader.read(12)).endswith(b"400")
    writer.close()


def _environment(peers: Peers, valkey_url: str, port: int) -> dict[str, str]:
    return {
        "PATH": os.defpath,
        "PMCP_GATEWAY_PORT": str(port),
        "PMCP_REDIS_URL": valkey_url,
        "PMCP_PERSONA_URL": peers.url,
        "PMCP_MEMORY_URL": peers.url,
    }


async def test_on_sigterm_it_sends_everyone_away_with_1012_and_goes(
    peers: Peers, valkey_url: str, free_port: int
) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "pmcp_gateway",
        env=_environment(peers, valkey_url, free_port),
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async for socket in connect(f"ws://127.0.0.1:{free_port}/mcp", proxy=None, open_timeout=10):
            player = Player(socket)
            await player.ask(CHAT, HELLO)
            started = time.monotonic()
            process.send_signal(signal.SIGTERM)
            assert (await player.receive())["method"] == "session.draining"
            assert await player.close_code() == 1012
            assert closing.seconds_away(socket.close_reason or "") is not None
            break
        async with asyncio.timeout(WAIT_SECONDS):
            _, log = await process.communicate()
        assert time.monotonic() - started < 5
        assert b"Traceback" not in log
        assert b"Hello" not in log
        assert b'"event":"request"' in log
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def test_it_refuses_to_listen_to_the_world() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pmcp_gateway"],
        env={"PATH": os.defpath, "PMCP_GATEWAY_HOST": "0.0.0.0"},
        capture_output=True,
        timeout=20,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.count(b"\n") == 1
    assert b"until authentication exists" in done.stderr


def test_help_names_every_setting() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pmcp_gateway", "--help"],
        env={"PATH": os.defpath},
        capture_output=True,
        timeout=20,
        check=True,
    )
    for name in (b"PMCP_GATEWAY_PORT", b"PMCP_REDIS_URL", b"PMCP_GATEWAY_MAX_IN_FLIGHT"):
        assert name in done.stdout
