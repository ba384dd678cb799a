"""session.get_info, open, resume, ping: the session as it is stored, which another gateway may have changed.

A resume answers first; then comes what was missed; then what is new. Sockets are fenced by `gen`: the newest speaks
for the session.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from typing import Any

from pmcp_common.bus import Attachment, Position
from pmcp_common.contracts.errors import InvalidParams, SessionReplaced, Unavailable
from pmcp_common.contracts.jobs import Accepted
from pmcp_common.contracts.methods import (
    MAX_DEADLINE_MS,
    MAX_MESSAGE_BYTES,
    MAX_TOKEN_BUDGET,
    NoParams,
    SessionInfoResult,
)
from pmcp_common.contracts.session_models import (
    MAX_STREAMS,
    PROTOCOL_VERSION,
    InFlightFate,
    ResumeStream,
    SessionLimits,
    SessionOpenParams,
    SessionOpenResult,
    SessionPingParams,
    SessionPingResult,
    SessionResumeParams,
    SessionResumeResult,
    StreamRecovery,
)
from pmcp_gateway import protocol
from pmcp_gateway.methods.call import Call, Connection, Services, ensure_current
from pmcp_gateway.methods.reply_frames import LiveReply, StreamedReply, notifications
from pmcp_gateway.protocol import MAX_FRAME_BYTES
from pmcp_gateway.relay import Watch
from pmcp_gateway.stores import Session


class UnsupportedProtocol(InvalidParams):
    def __init__(self, version: int) -> None:
        super().__init__(
            f"protocol: version {version} is not supported", field="protocol", supported=[PROTOCOL_VERSION]
        )


async def get_info(services: Services, call: Call, _params: NoParams) -> dict[str, Any]:
    session = await services.sessions.get(call.tenant, call.session_id)
    if session is None:  # Redis lost it
        session = call.connection.session
        await services.sessions.save(session)
    return SessionInfoResult(
        session_id=session.session_id,
        active_persona_id=session.persona_id,
        active_persona_name=session.persona_name,
        connection_time=session.connected_at,
        message_count=session.message_count,
    ).model_dump(mode="json")


async def open_session(services: Services, call: Call, params: SessionOpenParams) -> dict[str, Any]:
    _check_version(params.protocol)
    connection, token = call.connection, services.new_token()
    async with connection.identifying:
        connection.session = await services.sessions.open(connection.session, _hash(token), services.gateway_id)
    connection.stored, connection.unconfirmed = True, False
    return SessionOpenResult(**_opened(services, connection.session, token)).model_dump(mode="json")


async def resume(services: Services, call: Call, params: SessionResumeParams) -> dict[str, Any] | None:
    _check_version(params.protocol)
    connection, token = call.connection, services.new_token()
    wanted = Session(
        tenant=call.tenant,
        session_id=params.session_id,
        principal=call.principal,
        connected_at=connection.session.connected_at,
    )
    session = await services.sessions.resume(
        wanted,
        connection.session,
        _hash(params.resume_token),
        _hash(token),
        services.gateway_id,
        connection.id,
    )
    connection.session, connection.stored, connection.unconfirmed = session, True, True
    # Word that another socket has taken it over since then may have come before this one knew whose it is.
    await ensure_current(services, call)
    connection.stop_resumed()
    streams = _Resuming(services, call, params.streams)
    try:
        attachments = await streams.attach()
        fates = await _fates(services, call, params)
        result = SessionResumeResult(
            **_opened(services, session, token),
            active_persona_id=session.persona_id,
            active_persona_name=session.persona_name,
            streams=[_recovery(wanted, found) for wanted, found in zip(params.streams, attachments, strict=True)],
            inflight=fates,
        )
    except BaseException:
        streams.stop()
        raise
    if call.answered:
        connection.outbox.put(protocol.success(call.id, result.model_dump(mode="json")))
    streams.start(attachments)
    return None


class _Resuming:
    """The streams of one resume: watched before they are attached, so that no live event is missed."""

    def __init__(self, services: Services, call: Call, streams: Sequence[ResumeStream]) -> None:
        self._services = services
        self._call = call
        self._streams = streams
        self._replies = [
            StreamedReply(services, call.connection, call.method, notifications, shown_seq=stream.last_seq)
            for stream in streams
        ]
        self._watches = [
            services.relay.watch(call.tenant, call.principal, stream.stream_id, reply)
            for stream, reply in zip(streams, self._replies, strict=True)
        ]

    async def attach(self) -> list[Attachment]:
        if not self._streams:
            return []
        positions = [Position(stream.stream_id, stream.epoch, stream.last_seq) for stream in self._streams]
        call = self._call
        return await self._services.bus.attach(call.tenant, call.principal, self._services.gateway_id, positions)

    def start(self, attachments: Sequence[Attachment]) -> None:
        for watch, reply, found in zip(self._watches, self._replies, attachments, strict=True):
            if found.reason is None:
                _bring(self._call.connection, watch, reply, found)
            else:
                watch.stop()

    def stop(self) -> None:
        for watch in self._watches:
            watch.stop()


def _bring(connection: Connection, watch: Watch, reply: StreamedReply, found: Attachment) -> None:
    accepted = Accepted(watch.stream_id, "", found.epoch, "", "", duplicate=True, attachment=found.attachment)
    live = LiveReply(accepted, found.on_interrupt, reply)
    connection.live[id(live)] = live

    def forget(_outcome: asyncio.Future[str]) -> None:
        connection.live.pop(id(live), None)

    reply.outcome.add_done_callback(forget)
    connection.resumed.append(watch.stop)
    reply.begin(accepted)
    watch.start(found.epoch, look_now=True)


def _recovery(wanted: ResumeStream, found: Attachment) -> StreamRecovery:
    return StreamRecovery.model_validate(
        {
            "stream_id": wanted.stream_id,
            "recovered": found.reason is None,
            "reason": found.reason,
            "epoch": found.epoch,
            "head_seq": found.head_seq,
            "state": found.state.value if found.state else None,
        }
    )


async def _fates(services: Services, call: Call, params: SessionResumeParams) -> list[InFlightFate]:
    """`call` speaks for the resumed session by now: that is the player when nobody is named."""
    keys = params.inflight
    found = await services.queue.accepted(call.tenant, call.principal, call.player(params.player_id), keys)
    return [
        InFlightFate(
            idempotency_key=key,
            status="unknown" if accepted is None else "accepted",
            stream_id=accepted.stream_id if accepted else None,
            message_id=accepted.message_id if accepted else None,
            epoch=accepted.epoch if accepted else None,
        )
        for key, accepted in zip(keys, found, strict=True)
    ]


async def ping(services: Services, call: Call, params: SessionPingParams) -> dict[str, Any]:
    connection = call.connection
    stored = await _stored_gen(services, connection)
    if stored is not None and stored > connection.session.gen:
        raise SessionReplaced
    heads: dict[str, int] = {}
    for live in connection.live.values():
        heads[live.stream_id] = min(live.head, heads.get(live.stream_id, live.head))
    return SessionPingResult(
        session_id=call.session_id,
        gen=connection.session.gen,
        heads=heads,
        behind=[stream_id for stream_id in params.heads if stream_id not in heads],
        resumable=None if stored is None else stored > 0,
        timestamp=services.stamps.now(),
    ).model_dump(mode="json")


async def _stored_gen(services: Services, connection: Connection) -> int | None:
    """0: no session that could be resumed. None: Redis is away, and a ping is answered all the same."""
    session = connection.session
    try:
        if connection.unconfirmed:
            stored = await services.sessions.confirm(session)
            connection.unconfirmed = False
        else:
            stored = await services.sessions.generation(session.tenant, session.session_id)
    except Unavailable:
        return None
    return stored or 0


def _check_version(version: int) -> None:
    if version != PROTOCOL_VERSION:
        raise UnsupportedProtocol(version)


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def _opened(services: Services, session: Session, token: str) -> dict[str, Any]:
    limits = services.limits
    return {
        "session_id": session.session_id,
        "resume_token": token,
        "gen": session.gen,
        "heartbeat_ms": int(limits.heartbeat_seconds * 1000),
        "resume_window_s": limits.resume_window_seconds,
        "limits": SessionLimits(
            max_frame_bytes=MAX_FRAME_BYTES,
            max_message_bytes=MAX_MESSAGE_BYTES,
            max_in_flight=limits.max_in_flight,
            max_token_budget=MAX_TOKEN_BUDGET,
            max_deadline_ms=MAX_DEADLINE_MS,
            max_streams=MAX_STREAMS,
        ),
    }
