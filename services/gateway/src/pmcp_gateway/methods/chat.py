"""persona.chat and persona.chat_stream: admission, one round trip that stores the job, then the relay's events."""

from __future__ import annotations

import asyncio
import hashlib
from typing import Any

from pmcp_common.contracts.errors import LLM_ERROR, DomainError, ModelFailed, RemoteError, Unavailable
from pmcp_common.contracts.jobs import Accepted, End, StreamEvent, Submission
from pmcp_common.contracts.methods import ChatParams, ChatResult
from pmcp_gateway.methods.call import Call, Services
from pmcp_gateway.methods.reply_frames import LiveReply, StreamedReply, answers
from pmcp_gateway.relay import Receiver, Watch

RETRY_AFTER_SECONDS = 1.0
LEAST_SUBMIT_SECONDS = 0.2
"""Also for a message that waited long for its persona's name: the broker itself answers in milliseconds."""
HOLD_SECONDS = 0.25
"""So long the first frame waits for the word that the message is recorded, unless the reply begins before."""


async def chat_stream(services: Services, call: Call, params: ChatParams) -> dict[str, Any] | None:
    """Returns None once the end frame waits to be sent, so that the request counts as in flight until then."""
    submission = await make_submission(services, call, params, streaming=True)
    if not call.answered:
        services.recording.add(submission, await _submit(services, submission))
        return None
    reply = StreamedReply(services, call.connection, call.method, answers(call.id))
    watch, accepted = await _submit_watched(services, submission, reply)
    try:
        recorded = services.recording.add(submission, accepted)
        with call.connection.bringing(LiveReply(accepted, params.on_interrupt, reply)):
            reply.hold(accepted, params, recorded)
            watch.start(accepted.epoch, look_now=accepted.duplicate, deadline_seconds=_seconds(params.deadline_ms))
            await asyncio.wait((recorded, reply.outcome), timeout=HOLD_SECONDS, return_when=asyncio.FIRST_COMPLETED)
            reply.open()
            await reply.outcome
    finally:
        watch.stop()
    return None


async def chat(services: Services, call: Call, params: ChatParams) -> dict[str, Any]:
    submission = await make_submission(services, call, params, streaming=False)
    return result_of(await whole_reply(services, call, submission)).model_dump(mode="json")


async def whole_reply(services: Services, call: Call, submission: Submission) -> End:
    """The end of a reply, however it ended: `result_of` makes an error of a failure."""
    whole = _WholeReply()
    watch, accepted = await _submit_watched(services, submission, whole)
    try:
        services.recording.add(submission, accepted)
        with call.connection.bringing(LiveReply(accepted, submission.on_interrupt, whole)):
            seconds = _seconds(submission.deadline_ms)
            watch.start(accepted.epoch, look_now=accepted.duplicate, deadline_seconds=seconds)
            return await whole.end
    finally:
        watch.stop()


def _seconds(deadline_ms: int | None) -> float | None:
    return None if deadline_ms is None else deadline_ms / 1000


class _WholeReply:
    """A `relay.Receiver` that waits for the end: it holds the text."""

    head = 0

    def __init__(self) -> None:
        self.end: asyncio.Future[End] = asyncio.get_running_loop().create_future()

    def take(self, event: StreamEvent) -> None:
        if isinstance(event, End) and not self.end.done():
            self.end.set_result(event)

    def restart(self, epoch: str) -> None:
        """Nothing was shown."""

    def give_up(self, error: DomainError) -> None:
        if not self.end.done():
            self.end.set_exception(error)


async def make_submission(
    services: Services,
    call: Call,
    params: ChatParams,
    *,
    streaming: bool,
    circumstances: dict[str, Any] | None = None,
    player: str | None = None,
) -> Submission:
    """`player` speaks, when it is not the one the request names: a persona, in a talk."""
    came_at_ms = _now_ms(services)
    player = player or call.player(params.player_id)
    persona_id = persona_name = None
    if params.persona_id is not None:
        persona_id, persona_name = await services.names.resolve(call.tenant, params.persona_id, player)
    return Submission(
        tenant=call.tenant,
        principal=call.principal,
        job_id=services.new_id(),
        message_id=services.new_id(),
        user_message_id=services.new_id(),
        session_id=call.session_id,
        player_id=player,
        message=params.message,
        token_budget=params.token_budget,
        streaming=streaming,
        gateway_id=services.gateway_id,
        request_id=call.request_id,
        accepted_at_ms=came_at_ms,
        persona_id=persona_id,
        persona_name=persona_name,
        idempotency_key=params.idempotency_key,
        body_hash=_body_hash(params) if params.idempotency_key is not None else "",
        circumstances=circumstances or {},
        deadline_ms=params.deadline_ms,
        on_interrupt=params.on_interrupt,
        session_gen=call.connection.session.gen,
    )


def _body_hash(params: ChatParams) -> str:
    """Of what the client said, not of what it resolves to: a repetition after a switch is still the same message."""
    body = params.model_dump_json(exclude={"idempotency_key", "deadline_ms", "on_interrupt"})
    return hashlib.blake2b(body.encode(), digest_size=16).hexdigest()


def _now_ms(services: Services) -> int:
    return int(services.clock.now().timestamp() * 1000)


async def _submit(services: Services, submission: Submission) -> Accepted:
    """Within what its way here has left of the time: a message is taken or refused in a second, whoever is silent."""
    whole = services.limits.submit_seconds
    left = whole - (_now_ms(services) - submission.accepted_at_ms) / 1000
    try:
        async with asyncio.timeout(min(whole, max(LEAST_SUBMIT_SECONDS, left))), services.submissions:
            return await services.queue.submit(submission)
    except TimeoutError:
        raise Unavailable("The message broker does not answer", retry_after=RETRY_AFTER_SECONDS) from None


async def _submit_watched(services: Services, submission: Submission, receiver: Receiver) -> tuple[Watch, Accepted]:
    """Watched before it is stored: its first event may come before the answer does."""
    tenant, principal = submission.tenant, submission.principal
    watch = services.relay.watch(tenant, principal, submission.job_id, receiver)
    try:
        accepted = await _submit(services, submission)
    except BaseException:
        watch.stop()
        raise
    if accepted.stream_id != submission.job_id:
        watch.stop()
        watch = services.relay.watch(tenant, principal, accepted.stream_id, receiver)
    return watch, accepted


def result_of(end: End) -> ChatResult:
    """Raises ModelFailed or what the worker failed with, when there is no reply."""
    if end.state == "cancelled":
        raise ModelFailed("The reply was cancelled", reason="cancelled", stream_id=end.stream_id)
    if end.state != "done":
        code = end.error_code if end.error_code is not None else LLM_ERROR.code
        text = end.error_message or "The reply could not be finished"
        raise RemoteError(code, text, **end.error_data | {"reason": end.finish_reason, "stream_id": end.stream_id})
    return ChatResult(
        response=end.text,
        response_type=end.response_type,
        continue_score=end.continue_score,
        score_parts=end.score_parts,
        routing=end.routing,
        tokens_used=end.tokens_used,
        processing_time=end.processing_time,
        persona_state=end.persona_state,
        persona_id=end.persona_id,
        persona_name=end.persona_name,
        stream_id=end.stream_id,
        message_id=end.message_id,
        state=end.state,
        finish_reason=end.finish_reason,
        rung=end.rung,
        degraded=end.degraded,
        reason=end.reason or None,
        persisted=end.persisted,
        memory=end.memory,
        model=end.model,
        provider=end.provider,
        sha256=end.sha256,
    )
