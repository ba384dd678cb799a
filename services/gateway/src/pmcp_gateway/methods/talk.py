"""conversation.start, advance, status, end: two personas talk, one turn a call; and how a player's conversation stands.

Each turn is an ordinary reply of one persona to the other, through the same queue and workers as a player's. The score
by which it was routed decides whether the talk goes on; its end makes both personas rest from each other.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from pmcp_common.contracts import keys
from pmcp_common.contracts.conversation_models import (
    ConversationAdvanceParams,
    ConversationAdvanceResult,
    ConversationEndParams,
    ConversationEndResult,
    ConversationFinalStats,
    ConversationStartParams,
    ConversationStartResult,
    ConversationStatusParams,
    ConversationStatusResult,
)
from pmcp_common.contracts.errors import (
    PERSONA_NOT_FOUND,
    Conflict,
    DomainError,
    InvalidParams,
    NoActivePersona,
    NotFound,
    PersonasNotFound,
    PersonaUnavailable,
)
from pmcp_common.contracts.jobs import End
from pmcp_common.contracts.methods import MAX_TOKEN_BUDGET, ChatParams
from pmcp_common.contracts.personas import ConversationEnd
from pmcp_common.contracts.talks import Routing, as_player, goes_on
from pmcp_gateway.methods.call import Call, Services
from pmcp_gateway.methods.chat import make_submission, result_of, whole_reply
from pmcp_gateway.talks import Participant, Talk

FAREWELL = "farewell"


async def start(services: Services, call: Call, params: ConversationStartParams) -> dict[str, Any]:
    first, second = await _two(services, call, params.persona1_id, params.persona2_id)
    now = _now_ms(services)
    talk = Talk(
        tenant=call.tenant,
        conversation_id=f"conv_{services.new_id().replace('-', '')}",
        principal=call.principal,
        first=first,
        second=second,
        topic=params.topic,
        token_budget=params.token_budget,
        started_ms=now,
        last_ms=now,
    )
    await services.talks.begin(talk, call.session_id)
    return ConversationStartResult(
        conversation_id=talk.conversation_id,
        participants=[first.id, second.id],
        topic=talk.topic,
        started=True,
        token_budget=talk.token_budget,
    ).model_dump(mode="json")


async def _two(services: Services, call: Call, one: str, other: str) -> tuple[Participant, Participant]:
    """Both exist, are not the same, and have time for each other."""
    found, missing = [], []
    for reference in (one, other):
        try:
            found.append(await services.names.resolve(call.tenant, reference, call.session_id))
        except DomainError as error:
            if error.row is not PERSONA_NOT_FOUND:
                raise
            missing.append(reference)
    if missing:
        raise PersonasNotFound(*missing)
    first, second = (Participant(*names) for names in found)
    if first.id == second.id:
        raise InvalidParams("persona2_id: a persona does not talk with itself", field="persona2_id")
    for persona, partner in ((first, second), (second, first)):
        view = await services.personas.get(call.tenant, persona.id, as_player(partner.id))
        if not view.interaction_state.is_available:
            raise PersonaUnavailable(
                persona.name,
                persona_id=persona.id,
                cooldown_remaining=view.interaction_state.cooldown_remaining,
            )
    return first, second


async def advance(services: Services, call: Call, params: ConversationAdvanceParams) -> dict[str, Any]:
    found = await _talk(services, call, params.conversation_id)
    async with _held(services, found) as held:
        talk = held.talk
        if talk.end_reason is not None:
            raise Conflict("The conversation has ended", reason=talk.end_reason)
        end = await _turn(services, call, talk, params.deadline_ms)
        cooldowns: dict[str, float] = {}
        result = result_of(end)
        now = _now_ms(services)
        if not result.degraded or result.response_type != "fallback":
            talk = talk.after_turn(end.text, end.tokens_used, end.continue_score, now)
        if end.routing == Routing.CLOSING:
            talk = talk.ended(FAREWELL, now)
            cooldowns = await _rest(services, talk)
        before, held.talk = held.talk, talk
    return _advanced(before, talk, end, cooldowns)


async def _turn(services: Services, call: Call, talk: Talk, deadline_ms: int | None) -> End:
    speaker, listener = talk.next_pair()
    circumstances = {
        "topic": talk.topic,
        "speaker_name": listener.name,
        "closing": not goes_on(talk.score, talk.tokens_left),
    }
    params = ChatParams.model_construct(
        message=talk.message(),
        persona_id=speaker.id,
        token_budget=max(1, min(MAX_TOKEN_BUDGET, talk.tokens_left)),
        deadline_ms=deadline_ms,
    )
    submission = await make_submission(
        services, call, params, streaming=False, circumstances=circumstances, player=as_player(listener.id)
    )
    return await whole_reply(services, call, submission)


def _advanced(before: Talk, talk: Talk, end: End, cooldowns: dict[str, float]) -> dict[str, Any]:
    speaker, listener = before.next_pair()
    return ConversationAdvanceResult(
        conversation_id=talk.conversation_id,
        turn=before.turns + 1,
        speaker_id=speaker.id,
        speaker_name=speaker.name,
        listener_id=listener.id,
        content=end.text,
        response_type=end.response_type,
        degraded=end.degraded,
        routing=end.routing,
        continue_score=end.continue_score,
        score_parts=end.score_parts,
        tokens_used=talk.tokens_used - before.tokens_used,
        tokens_remaining=talk.tokens_left,
        should_continue=talk.should_continue,
        ended=talk.end_reason is not None,
        cooldown_seconds=cooldowns,
        message_id=end.message_id,
        processing_time=end.processing_time,
    ).model_dump(mode="json")


async def status(services: Services, call: Call, params: ConversationStatusParams) -> dict[str, Any]:
    talk = await _current(services, call, params.conversation_id, params.player_id)
    if isinstance(talk, Talk):
        return ConversationStatusResult(
            id=talk.conversation_id,
            participants=[talk.first.id, talk.second.id],
            topic=talk.topic,
            turn_count=talk.turns,
            duration=talk.duration_seconds,
            continue_score=talk.score,
            tokens_remaining=talk.tokens_left,
            tokens_used=talk.tokens_used,
            should_continue=talk.should_continue,
            ended=talk.end_reason is not None,
            end_reason=talk.end_reason,
        ).model_dump(mode="json")
    facts = await services.conversations.facts(call.tenant, talk.conversation_id, talk.persona_id, talk.player_id)
    return ConversationStatusResult(
        id=talk.conversation_id,
        participants=[talk.player_id, talk.persona_id],
        topic=None,
        turn_count=facts.turn_count,
        duration=(facts.last_at - facts.first_at).total_seconds() if facts.first_at and facts.last_at else 0.0,
        continue_score=facts.continue_score,
        tokens_remaining=None,
        tokens_used=facts.tokens_used,
        should_continue=goes_on(facts.continue_score, MAX_TOKEN_BUDGET),
        ended=False,
        end_reason=None,
    ).model_dump(mode="json")


async def end(services: Services, call: Call, params: ConversationEndParams) -> dict[str, Any]:
    current = await _current(services, call, params.conversation_id, params.player_id)
    if isinstance(current, PlayersConversation):
        return await _leave(services, call, current, params.reason)
    async with _held(services, current) as held:
        if held.talk.end_reason is not None:
            raise Conflict("The conversation has ended", reason=held.talk.end_reason)
        talk = held.talk = held.talk.ended(params.reason, _now_ms(services))
        cooldowns = await _rest(services, talk)
    await services.talks.leave(call.tenant, call.session_id)
    stats = ConversationFinalStats(duration=talk.duration_seconds, turns=talk.turns, tokens_used=talk.tokens_used)
    return _ended(talk.conversation_id, params.reason, stats, cooldowns)


async def _leave(services: Services, call: Call, left: PlayersConversation, reason: str) -> dict[str, Any]:
    """The session turns away from the persona; what was said stays said."""
    facts = await services.conversations.facts(call.tenant, left.conversation_id, left.persona_id, left.player_id)
    seconds = (facts.last_at - facts.first_at).total_seconds() if facts.first_at and facts.last_at else 0.0
    await services.sessions.leave_persona(call.connection.session)
    stats = ConversationFinalStats(duration=seconds, turns=facts.turn_count, tokens_used=facts.tokens_used)
    return _ended(left.conversation_id, reason, stats, {})


def _ended(
    conversation_id: str, reason: str, stats: ConversationFinalStats, cooldowns: dict[str, float]
) -> dict[str, Any]:
    return ConversationEndResult(
        conversation_id=conversation_id, ended=True, reason=reason, final_stats=stats, cooldown_seconds=cooldowns
    ).model_dump(mode="json")


async def _rest(services: Services, talk: Talk) -> dict[str, float]:
    """Both personas rest from a talk in which anything was said. Idempotent by the talk's id."""
    if talk.score is None:
        return {}
    cooldowns = {}
    for persona, partner in ((talk.first, talk.second), (talk.second, talk.first)):
        told = ConversationEnd(
            partner_persona_id=partner.id, interaction_id=f"end:{talk.conversation_id}", continue_score=talk.score
        )
        state = await services.personas.end_conversation(talk.tenant, persona.id, told)
        cooldowns[persona.id] = round(state.cooldown_remaining, 1)
    return cooldowns


# ---- which conversation is meant


@dataclass(frozen=True, slots=True)
class PlayersConversation:
    conversation_id: str
    persona_id: str
    player_id: str


async def _current(
    services: Services, call: Call, conversation_id: str | None, player_id: str | None
) -> Talk | PlayersConversation:
    """The one named, else the session's talk, else the conversation with the active persona."""
    wanted = conversation_id or await services.talks.of_session(call.tenant, call.session_id)
    talk = await find_talk(services, call, wanted) if wanted else None
    if talk is not None:
        return talk
    player = call.player(player_id)
    session = await services.sessions.get(call.tenant, call.session_id)
    persona_id = session.persona_id if session is not None else None
    own_id = keys.conversation_id(call.tenant, persona_id or "", player)
    if conversation_id is not None and (persona_id is None or conversation_id != own_id):
        raise NotFound(f"Conversation not found: {conversation_id}", conversation_id=conversation_id)
    if persona_id is None:
        raise NoActivePersona
    return PlayersConversation(own_id, persona_id, player)


async def find_talk(services: Services, call: Call, conversation_id: str) -> Talk | None:
    """None for unknown and foreign ones alike."""
    talk = await services.talks.get(call.tenant, conversation_id)
    return talk if talk is not None and talk.principal == call.principal else None


async def _talk(services: Services, call: Call, conversation_id: str | None) -> Talk:
    wanted = conversation_id or await services.talks.of_session(call.tenant, call.session_id)
    if wanted is None:
        raise InvalidParams("conversation_id is required", field="conversation_id")
    talk = await find_talk(services, call, wanted)
    if talk is None:
        raise NotFound(f"Conversation not found: {wanted}", conversation_id=wanted)
    return talk


@dataclass(slots=True)
class _Held:
    talk: Talk


@asynccontextmanager
async def _held(services: Services, found: Talk) -> AsyncIterator[_Held]:
    """The talk as it is now, nobody else changing it; what `talk` is at the end gets stored."""
    tenant, conversation_id, holder = found.tenant, found.conversation_id, services.new_id()
    if not await services.talks.hold(tenant, conversation_id, holder):
        raise Conflict("Another turn of this conversation is being made")
    changed: Talk | None = None
    try:
        held = _Held(await services.talks.get(tenant, conversation_id) or found)
        before = held.talk
        yield held
        changed = held.talk if held.talk is not before else None
    finally:
        await services.talks.release(tenant, conversation_id, holder, changed)


def _now_ms(services: Services) -> int:
    return int(services.clock.now().timestamp() * 1000)
