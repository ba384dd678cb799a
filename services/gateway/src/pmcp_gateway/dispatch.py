"""Method → what it does. The one place where exceptions become errors on the wire, each logged at most once.

A `DomainError` keeps its code and text; anything else is our fault and says nothing more than "Internal error".
"""

from __future__ import annotations

import logging
import time
from typing import Any

from pmcp_common.contracts import closing
from pmcp_common.contracts.closing import CloseCode
from pmcp_common.contracts.errors import (
    SESSION_EXPIRED,
    SESSION_REFUSED,
    SESSION_REPLACED,
    DomainError,
    ErrorCode,
    InternalError,
    MethodNotFound,
    SessionReplaced,
)
from pmcp_common.contracts.methods import METHODS
from pmcp_gateway import protocol
from pmcp_gateway.methods import (
    chat,
    conversation,
    discover,
    emotional,
    memory,
    memory_keeping,
    memory_life,
    memory_sharing,
    memory_tending,
    persona,
    persona_authoring,
    relationship,
    session,
    session_clear,
    state,
    stream,
    system,
    talk,
    visual,
)
from pmcp_gateway.methods.call import Call, Handler, Services, ensure_current, ensure_session, with_persona
from pmcp_gateway.methods.reply_frames import early_failure
from pmcp_gateway.metrics import REQUEST_SECONDS, REQUESTS
from pmcp_gateway.parameters import validate
from pmcp_gateway.session import FENCED, PERSONA_NEEDS, REFUSED_WHOLE, PersonaNeed

log = logging.getLogger(__name__)

HANDLERS: dict[str, Handler] = {
    "persona.list": persona.list_personas,
    "persona.switch": persona.switch,
    "persona.status": persona.status,
    "persona.get": persona_authoring.get,
    "persona.create": persona_authoring.create,
    "persona.update": persona_authoring.update,
    "persona.delete": persona_authoring.delete,
    "persona.relationship": relationship.of_active,
    "persona.chat": chat.chat,
    "persona.chat_stream": chat.chat_stream,
    "rpc.discover": discover.discover,
    "conversation.send_message": conversation.send_message,
    "conversation.get_history": conversation.get_history,
    "conversation.start": talk.start,
    "conversation.advance": talk.advance,
    "conversation.status": talk.status,
    "conversation.end": talk.end,
    "visual.update": visual.update,
    "session.clear": session_clear.clear,
    "state.save": state.save,
    "state.load": state.load,
    "state.list": state.list_saves,
    "stream.cancel": stream.cancel,
    "stream.read": stream.read,
    "memory.search": memory.search,
    "memory.store": memory_keeping.store,
    "memory.stats": memory_keeping.stats,
    "memory.get_stats": memory_keeping.get_stats,
    "memory.list": memory_life.list_memories,
    "memory.get": memory_life.get,
    "memory.edit": memory_life.edit,
    "memory.pin": memory_life.pin,
    "memory.merge": memory_life.merge,
    "memory.forget": memory_life.forget,
    "memory.export": memory_life.export,
    "memory.erase": memory_life.erase,
    "memory.prune": memory_tending.prune,
    "memory.prune_all": memory_tending.prune_all,
    "memory.prune_recommendations": memory_tending.prune_recommendations,
    "memory.prune_stats": memory_tending.prune_stats,
    "memory.decay_start": memory_tending.decay_start,
    "memory.decay_stop": memory_tending.decay_stop,
    "memory.decay_stats": memory_tending.decay_stats,
    "memory.decay_force": memory_tending.decay_force,
    "memory.search_cross_persona": memory_sharing.search_cross_persona,
    "memory.shared_stats": memory_sharing.shared_stats,
    "persona.memory": memory_keeping.of_active,
    "relationship.get": relationship.get,
    "relationship.list": relationship.list_all,
    "relationship.compatibility": relationship.compatibility,
    "relationship.stats": relationship.stats,
    "relationship.update": relationship.update,
    "emotional.get_state": emotional.get_state,
    "emotional.update_state": emotional.update_state,
    "system.status": system.status,
    "system.models": system.models,
    "session.get_info": session.get_info,
    "session.open": session.open_session,
    "session.resume": session.resume,
    "session.ping": session.ping,
}

CLOSED_BY: dict[ErrorCode, CloseCode] = {
    SESSION_EXPIRED: closing.SESSION_EXPIRED,
    SESSION_REFUSED: closing.UNAUTHENTICATED,
    SESSION_REPLACED: closing.REPLACED,
}
"""Errors after which the socket is of no more use: it is closed once the error has been sent."""


class Dispatcher:
    def __init__(self, services: Services, handlers: dict[str, Handler] | None = None) -> None:
        self._services = services
        self._handlers = handlers or HANDLERS

    async def run(self, call: Call, params: dict[str, Any]) -> None:
        """Carry out and answer; returns when the last frame waits to be sent."""
        started = time.perf_counter()
        outcome = "ok"
        try:
            result = await self._carry_out(call, params)
            if call.answered and result is not None:
                call.connection.outbox.put(protocol.success(call.id, result))
        except DomainError as error:
            outcome = error.row.name
            self._answer_failure(call, error)
            self._leave_if_told(call, error)
        except Exception:  # boundary: one log line, one coded error
            log.exception("request failed", extra={"method": call.method})
            outcome = "internal_error"
            self._answer_failure(call, InternalError("Internal error"))
        except BaseException:
            outcome = "disconnected"
            raise
        finally:
            _record(call.method, outcome, time.perf_counter() - started)

    async def _carry_out(self, call: Call, params: dict[str, Any]) -> dict[str, Any] | None:
        method = METHODS.get(call.method)
        if method is None:
            raise MethodNotFound(call.method)
        valid = validate(method.params, params)
        await ensure_session(self._services, call)
        gen = call.connection.session.gen
        try:
            return await self._carry_out_valid(call, valid)
        except SessionReplaced:
            # By another socket? Or was it this one, opened anew while the request was on its way?
            if call.method not in REFUSED_WHOLE or not await call.connection.was_identified_after(gen):
                raise
            return await self._carry_out_valid(call, valid)

    async def _carry_out_valid(self, call: Call, valid: Any) -> dict[str, Any] | None:
        if call.method in FENCED:
            await ensure_current(self._services, call)
        if PERSONA_NEEDS[call.method] is PersonaNeed.ACTIVE and getattr(valid, "persona_id", None) is None:
            call = await with_persona(self._services, call)
        return await self._handlers[call.method](self._services, call, valid)

    @staticmethod
    def _leave_if_told(call: Call, error: DomainError) -> None:
        code = closing.PROTOCOL_VERSION if isinstance(error, session.UnsupportedProtocol) else CLOSED_BY.get(error.row)
        if code is not None:
            call.connection.leave(code)

    def _answer_failure(self, call: Call, error: DomainError) -> None:
        if not call.answered:
            return
        method = METHODS.get(call.method)
        if method is not None and method.result is None:
            now = self._services.stamps.now()
            call.connection.outbox.put(early_failure(call, error, self._services.new_id(), now))
        else:
            call.connection.outbox.put(protocol.failure(call.id, error, call.method))


def _record(method: str, outcome: str, seconds: float) -> None:
    label = method if method in METHODS else "unknown"
    REQUESTS.labels(label, outcome).inc()
    REQUEST_SECONDS.labels(label).observe(seconds)
    log.info("request", extra={"method": label, "outcome": outcome, "ms": round(seconds * 1000, 1)})
