"""A lost socket and the one after it: open and resume, on one gateway and on two, with every wrong credential."""

from __future__ import annotations

import asyncio
import hashlib
from typing import Any

import pytest
from redis.asyncio import Redis

from pmcp_common.contracts import keys
from pmcp_common.contracts.errors import SessionReplaced
from pmcp_common.contracts.jobs import Accepted, Submission
from pmcp_common.queue_arq import ArqJobQueue
from pmcp_gateway.sessions_redis import RedisSessions
from pmcp_gateway.stores import SESSION_SECONDS, Session

from .conftest import Gateway, Player, Worker
from .resuming import CHAT, HELLO, begin, credentials, position


async def test_open_tells_what_a_client_needs(player: Player, redis: Redis) -> None:
    opened = await player.result("session.open")
    assert len(opened["resume_token"]) >= 43
    assert (opened["gen"], opened["resume_window_s"], opened["limits"]["max_in_flight"]) == (1, 600, 16)
    stored = await redis.hgetall(keys.session("local", opened["session_id"]))  # type: ignore[misc]
    assert stored[b"token"].decode() == hashlib.sha256(opened["resume_token"].encode()).hexdigest()
    assert opened["resume_token"].encode() not in b"".join(stored.values())


async def test_the_older_socket_is_closed_also_on_another_gateway(gateways: tuple[Gateway, Gateway]) -> None:
    first, second = gateways
    async with first.player() as one, first.player() as same, second.player() as elsewhere:
        opened = await one.result("session.open")
        again = await same.result("session.resume", credentials(opened))
        assert await one.close_code() == 4011
        await same.result("session.ping")
        last = await elsewhere.result("session.resume", credentials(again))
        assert await same.close_code() == 4011
        assert last["gen"] == 3
        assert (await elsewhere.result("session.ping"))["resumable"] is True


FENCED_CALLS: dict[str, dict[str, Any]] = {
    "persona.chat": HELLO,
    "session.ping": {},
    "session.open": {},
    "persona.switch": {"persona_id": "Aria"},
    "session.clear": {},
    "stream.cancel": {"stream_id": "any"},
    "visual.update": {"visual_context": {"screen": "a map"}},
    "state.load": {},
}


@pytest.mark.parametrize("method", FENCED_CALLS)
async def test_an_older_socket_that_was_not_told_is_refused_and_closed(
    gateways: tuple[Gateway, Gateway], redis: Redis, method: str
) -> None:
    async with gateways[0].player() as player:
        opened = await player.result("session.open")
        await redis.hincrby(keys.session("local", opened["session_id"]), "gen", 1)  # type: ignore[misc]
        before = await redis.hgetall(keys.session("local", opened["session_id"]))  # type: ignore[misc]
        error = (await player.ask(method, FENCED_CALLS[method]))["error"]
        assert error["code"] == -32015
        assert await player.close_code() == 4011
    assert await redis.hgetall(keys.session("local", opened["session_id"])) == before  # type: ignore[misc]


@pytest.mark.parametrize("next_method", ["persona.chat_stream", "session.ping", "session.get_info"])
async def test_what_is_sent_right_behind_an_open_is_not_taken_for_an_older_socket(
    gateway: Gateway, next_method: str
) -> None:
    for _ in range(20):
        async with gateway.player() as player:
            params = HELLO if next_method == CHAT else {}
            for number, (method, given) in enumerate((("session.open", {}), (next_method, params))):
                await player.send({"jsonrpc": "2.0", "id": number, "method": method, "params": given})
            answers = [await player.receive(), await player.receive()]
            assert [(answer["id"], "error" in answer) for answer in answers] == [(0, False), (1, False)]


async def test_the_session_brings_its_persona_along(gateways: tuple[Gateway, Gateway], worker: Worker) -> None:
    async with gateways[0].player() as player:
        opened = await player.result("session.open")
        await player.result("persona.switch", {"persona_id": "aria"})
    async with gateways[1].player() as player:
        resumed = await player.result("session.resume", credentials(opened))
        assert (resumed["active_persona_id"], resumed["active_persona_name"]) == ("id-aria", "Aria")
        start = await player.ask(CHAT, {"message": "Still there?"})
        assert start["result"]["persona_id"] == "id-aria"
        await (await worker.take()).end()


async def test_the_session_a_socket_had_before_a_resume_is_forgotten(gateway: Gateway, redis: Redis) -> None:
    async with gateway.player() as player:
        opened = await player.result("session.open")
    async with gateway.player() as player:
        before = (await player.result("session.get_info"))["session_id"]
        await player.result("session.resume", credentials(opened))
        assert await redis.exists(keys.session("local", before)) == 0
        assert (await player.result("session.get_info"))["session_id"] == opened["session_id"]


async def test_a_token_is_good_for_one_resume_once_the_next_has_arrived(gateway: Gateway) -> None:
    async with gateway.player() as player:
        opened = await player.result("session.open")
    async with gateway.player() as second:
        resumed = await second.result("session.resume", credentials(opened))
        assert resumed["resume_token"] != opened["resume_token"]
        await second.result("session.ping")
        async with gateway.player() as thief:
            assert (await thief.ask("session.resume", credentials(opened)))["error"]["code"] == -32014
            assert await thief.close_code() == 4001
        assert (await second.result("session.ping"))["resumable"] is True


async def test_a_resume_whose_answer_was_lost_can_be_repeated(gateway: Gateway) -> None:
    async with gateway.player() as player:
        opened = await player.result("session.open")
    gens = []
    for _ in range(2):
        async with gateway.player() as player:
            gens.append((await player.result("session.resume", credentials(opened)))["gen"])
    assert gens == [2, 3]


async def test_two_gateways_at_once_the_newest_wins(gateways: tuple[Gateway, Gateway]) -> None:
    async with gateways[0].player() as player:
        opened = await player.result("session.open")
    async with gateways[0].player() as one, gateways[1].player() as two:
        resumes = (player.result("session.resume", credentials(opened)) for player in (one, two))
        answers = await asyncio.gather(*resumes, return_exceptions=True)
        # The older one is closed; its answer may or may not have come before.
        gens = [answer["gen"] if isinstance(answer, dict) else 2 for answer in answers]
        assert sorted(gens) == [2, 3]
        older, newer = (one, two) if gens[0] < gens[1] else (two, one)
        assert await older.close_code() == 4011
        assert (await newer.result("session.ping"))["gen"] == 3


async def test_a_message_on_its_way_while_its_own_socket_is_opened_is_accepted(
    gateway: Gateway, player: Player, monkeypatch: pytest.MonkeyPatch
) -> None:
    submitting, opened, refused = asyncio.Event(), asyncio.Event(), asyncio.Event()
    submit, open_session = ArqJobQueue.submit, RedisSessions.open

    async def late(queue: ArqJobQueue, submission: Submission) -> Accepted:
        submitting.set()
        await opened.wait()
        try:
            return await submit(queue, submission)
        except SessionReplaced:
            refused.set()
            raise

    async def slow(sessions: RedisSessions, session: Session, token_hash: str, gateway_id: str) -> Session:
        await submitting.wait()
        found = await open_session(sessions, session, token_hash, gateway_id)
        opened.set()
        await refused.wait()
        return found

    monkeypatch.setattr(ArqJobQueue, "submit", late)
    monkeypatch.setattr(RedisSessions, "open", slow)
    for number, (method, params) in enumerate(((CHAT, HELLO), ("session.open", {}))):
        await player.send({"jsonrpc": "2.0", "id": number, "method": method, "params": params})
    answers = {(frame := await player.receive())["id"]: frame for _ in range(2)}
    assert answers[0]["result"]["event_type"] == "stream_start"
    assert answers[1]["result"]["gen"] == 1


async def test_a_socket_that_was_replaced_before_it_knew_its_session_is_closed(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    resume = RedisSessions.resume

    async def overtaken(
        sessions: RedisSessions, session: Session, leaving: Session, shown: str, token: str, *where: str
    ) -> Session:
        resumed = await resume(sessions, session, leaving, shown, token, *where)
        await resume(sessions, session, leaving, token, "the next", "elsewhere", "another socket")
        return resumed

    async with gateway.player() as player:
        opened = await player.result("session.open")
    monkeypatch.setattr(RedisSessions, "resume", overtaken)
    async with gateway.player() as player:
        await player.send({"jsonrpc": "2.0", "id": 1, "method": "session.resume", "params": credentials(opened)})
        assert await player.close_code() == 4011


@pytest.mark.parametrize(
    ("change", "code", "close"),
    [
        ({"session_id": "unknown"}, -32013, 4009),
        ({"resume_token": "wrong"}, -32014, 4001),
        ({"protocol": 2}, -32602, 4012),
        ({"resume_token": ""}, -32602, None),
        ({"streams": [{"stream_id": "x", "epoch": "e", "last_seq": -1}]}, -32602, None),
        ({"streams": [{"stream_id": "x", "epoch": "e", "last_seq": "3"}]}, -32602, None),
        ({"streams": [{"stream_id": "x", "epoch": "e", "last_seq": 2**63}]}, -32602, None),
        ({"streams": [{"stream_id": "x", "last_seq": 0}]}, -32602, None),
        ({"streams": "all"}, -32602, None),
        ({"streams": [{"stream_id": "x", "epoch": "e", "last_seq": 0}] * 65}, -32602, None),
        ({"inflight": [""]}, -32602, None),
    ],
)
async def test_a_wrong_resume_is_told_what_is_wrong(
    gateway: Gateway, change: dict[str, Any], code: int, close: int | None
) -> None:
    async with gateway.player() as player, gateway.player() as other:
        opened = await player.result("session.open")
        error = (await other.ask("session.resume", {**credentials(opened), **change}))["error"]
        assert error["code"] == code
        if close is not None:
            assert await other.close_code() == close
        else:
            assert (await other.result("session.get_info"))["session_id"] != opened["session_id"]


async def test_a_session_that_was_never_opened_cannot_be_taken_over(gateway: Gateway) -> None:
    async with gateway.player() as player, gateway.player() as other:
        session_id = (await player.result("session.get_info"))["session_id"]
        error = (await other.ask("session.resume", {"session_id": session_id, "resume_token": "x"}))["error"]
        assert error["code"] == -32014


async def test_a_session_past_its_time_is_as_good_as_unknown(
    gateways: tuple[Gateway, Gateway], worker: Worker, redis: Redis
) -> None:
    first, second = gateways
    async with first.player() as player:
        opened = await player.result("session.open")
        start, reply = await begin(player, worker, "one ")
    stored = keys.session("local", opened["session_id"])
    assert 0 < await redis.ttl(stored) <= SESSION_SECONDS
    await redis.expire(stored, 0)
    asked = {**credentials(opened), "streams": [position(start, 1)], "inflight": ["k"]}
    for gateway in (second, first):
        async with gateway.player() as late:
            error = (await late.ask("session.resume", asked))["error"]
            assert (error["code"], error["data"]["retryable"]) == (-32013, False)
            assert await late.close_code() == 4009
    assert await redis.exists(stored) == 0
    await reply.end()
    async with second.player() as anew:
        assert (await anew.result("session.open"))["session_id"] != opened["session_id"]
        page = await anew.result("stream.read", {"stream_id": start["stream_id"], "after_seq": 1})
        assert page["state"] == "done"


async def test_a_socket_whose_session_ran_out_under_it_is_told_and_goes_on(player: Player, redis: Redis) -> None:
    opened = await player.result("session.open")
    await redis.expire(keys.session("local", opened["session_id"]), 0)
    assert (await player.result("session.ping"))["resumable"] is False
    again = await player.result("session.open")
    assert (again["session_id"], again["gen"]) == (opened["session_id"], 2)
    assert again["resume_token"] != opened["resume_token"]
    assert (await player.result("session.ping"))["resumable"] is True
