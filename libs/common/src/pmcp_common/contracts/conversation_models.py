"""Parameters and results of conversation.*, visual.update and session.clear: rows of `methods`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from pmcp_common.contracts.bounds import FreeObject
from pmcp_common.contracts.chat_models import ChatResult, Message, ReplyOptions
from pmcp_common.contracts.conversations import MAX_EXCHANGES
from pmcp_common.contracts.method_models import OfPlayer, Params, Result
from pmcp_common.contracts.personas import Identifier, Word

MAX_TALK_TOKENS = 100_000


class ConversationSendParams(ReplyOptions):
    content: Message
    room_id: Identifier | None = Field(default=None, description="where it is said; the prompt names it")
    context: FreeObject = Field(default_factory=dict, description="the situation, at most 8 KiB; in this prompt only")


class ConversationSendResult(ChatResult):
    response_time_ms: float
    memory_stored: bool = Field(description="both sides are stored, and memories are made of them")


class ConversationHistoryParams(OfPlayer):
    limit: Annotated[int, Field(ge=1, le=MAX_EXCHANGES)] = 20
    before_id: Identifier | None = Field(default=None, description="id of the oldest message already read")
    persona_id: Identifier | None = Field(default=None, description="default: the active persona")
    conversation_id: Identifier | None = Field(default=None, description="of a talk between personas")


class HistoryMessage(Result):
    id: str
    content: str
    sender: str = Field(description="the player, or the name of the persona that spoke")
    timestamp: str
    persona_response: str | None = Field(description="null: it was never answered")
    response_id: str | None


class ConversationHistoryResult(Result):
    messages: list[HistoryMessage] = Field(description="oldest first")
    has_more: bool = Field(description="there are older ones: ask again with before_id")
    persona_id: str
    conversation_id: str


class ConversationStartParams(Params):
    persona1_id: Identifier = Field(description="speaks first")
    persona2_id: Identifier
    topic: Word = "general"
    token_budget: Annotated[int, Field(ge=1, le=MAX_TALK_TOKENS)] = Field(
        default=1000, description="output tokens of all turns together"
    )


class ConversationStartResult(Result):
    conversation_id: str
    participants: list[str] = Field(description="ids, in order of speaking")
    topic: str
    started: Literal[True]
    token_budget: int


class ConversationAdvanceParams(Params):
    conversation_id: Identifier | None = Field(default=None, description="default: the talk this session started last")
    deadline_ms: Annotated[int, Field(strict=True, ge=1, le=300_000)] | None = None


class ConversationAdvanceResult(Result):
    conversation_id: str
    turn: int = Field(description="number of this turn, from 1")
    speaker_id: str
    speaker_name: str
    listener_id: str
    content: str
    response_type: str = Field(description="direct, closing for a farewell, or fallback for a canned line")
    degraded: bool
    routing: str
    continue_score: float | None
    score_parts: dict[str, float]
    tokens_used: int = Field(description="by this turn")
    tokens_remaining: int
    should_continue: bool = Field(description="false: the next turn is a farewell, unless the talk has ended")
    ended: bool
    cooldown_seconds: dict[str, float] = Field(description="by persona, when the talk has ended: how long it rests")
    message_id: str
    processing_time: float


class ConversationStatusParams(OfPlayer):
    conversation_id: Identifier | None = None


class ConversationStatusResult(Result):
    id: str
    participants: list[str]
    topic: str | None = Field(description="null: a player's conversation has none")
    turn_count: int
    duration: float = Field(description="seconds")
    continue_score: float | None = Field(description="of the last turn; null: none yet")
    tokens_remaining: int | None = Field(description="null: a player's conversation has no budget of its own")
    tokens_used: int
    should_continue: bool
    ended: bool
    end_reason: str | None


class ConversationEndParams(OfPlayer):
    conversation_id: Identifier | None = None
    reason: Word = "user_request"


class ConversationFinalStats(Result):
    duration: float = Field(description="seconds")
    turns: int
    tokens_used: int


class ConversationEndResult(Result):
    conversation_id: str
    ended: Literal[True]
    reason: str
    final_stats: ConversationFinalStats
    cooldown_seconds: dict[str, float] = Field(description="by persona: how long it rests from the other")


def _a_kind(value: str) -> str:
    if not value.replace("_", "").replace("-", "").isalnum():
        raise ValueError("letters, digits, - and _ only")
    return value


class VisualUpdateParams(Params):
    type: Annotated[str, Field(min_length=1, max_length=50), AfterValidator(_a_kind)] = "general"
    data: FreeObject = Field(
        default_factory=dict, description="scene, objects, appearance …, at most 8 KiB; empty: no longer seen"
    )


class VisualUpdateResult(Result):
    visual_updated: Literal[True]
    update_type: str
    timestamp: str
    expires_in_seconds: int
    types: list[str] = Field(description="all that is seen now")


class SessionClearParams(OfPlayer):
    forget: bool = Field(
        default=False, description="also delete all that was said and remembered of this player, with every persona"
    )


class SessionClearResult(Result):
    message: str
    session_id: str
    forgotten: dict[str, int] | None = Field(description="how many turns and memories; null: nothing was to be")
