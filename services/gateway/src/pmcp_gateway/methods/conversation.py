"""conversation.send_message and get_history: a player's words in a room, and what was said before."""

from __future__ import annotations

from typing import Any

from pmcp_common.contracts import keys
from pmcp_common.contracts.conversation_models import (
    ConversationHistoryParams,
    ConversationHistoryResult,
    ConversationSendParams,
    ConversationSendResult,
    HistoryMessage,
)
from pmcp_common.contracts.conversations import Exchange
from pmcp_common.contracts.errors import NotFound
from pmcp_common.contracts.methods import ChatParams
from pmcp_common.contracts.talks import as_player
from pmcp_gateway.methods.call import Call, Services, with_persona
from pmcp_gateway.methods.chat import make_submission, result_of, whole_reply
from pmcp_gateway.methods.talk import find_talk
from pmcp_gateway.timestamps import timestamp


async def send_message(services: Services, call: Call, params: ConversationSendParams) -> dict[str, Any]:
    started = services.clock.monotonic()
    circumstances: dict[str, Any] = {"room": params.room_id, "notes": params.context}
    chat = ChatParams.model_construct(**{**params.model_dump(), "message": params.content})
    submission = await make_submission(
        services, call, chat, streaming=False, circumstances={k: v for k, v in circumstances.items() if v}
    )
    end = await whole_reply(services, call, submission)
    return ConversationSendResult(
        **result_of(end).model_dump(),
        response_time_ms=round((services.clock.monotonic() - started) * 1000, 1),
        memory_stored=end.persisted and end.response_type == "direct",
    ).model_dump(mode="json")


async def get_history(services: Services, call: Call, params: ConversationHistoryParams) -> dict[str, Any]:
    talk = await find_talk(services, call, params.conversation_id) if params.conversation_id is not None else None
    if talk is not None:
        persona_id, player, sender = talk.first.id, as_player(talk.second.id), talk.second.name
    else:
        player = sender = call.player(params.player_id)
        persona_id = await _persona_of(services, call, params.persona_id, player)
    own_id = keys.conversation_id(call.tenant, persona_id, player)
    if talk is None and params.conversation_id not in (None, own_id):
        raise NotFound(f"Conversation not found: {params.conversation_id}", conversation_id=params.conversation_id)
    page = await services.conversations.exchanges(
        call.tenant, own_id, persona_id, player, params.limit, params.before_id
    )
    return ConversationHistoryResult(
        messages=[_message(exchange, sender) for exchange in page.exchanges],
        has_more=page.has_more,
        persona_id=persona_id,
        conversation_id=params.conversation_id or own_id,
    ).model_dump(mode="json")


async def _persona_of(services: Services, call: Call, reference: str | None, player: str) -> str:
    if reference is not None:
        return (await services.names.resolve(call.tenant, reference, player))[0]
    return (await with_persona(services, call)).persona_id or ""


def _message(exchange: Exchange, sender: str) -> HistoryMessage:
    return HistoryMessage(
        id=exchange.message_id,
        content=exchange.content,
        sender=sender,
        timestamp=timestamp(exchange.created_at),
        persona_response=exchange.reply,
        response_id=exchange.reply_id,
    )
