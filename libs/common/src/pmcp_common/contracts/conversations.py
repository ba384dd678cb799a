"""Conversations as they are read back, summarised and forgotten, as services exchange them."""

from __future__ import annotations

from typing import Annotated

from pydantic import AwareDatetime, Field

from pmcp_common.contracts.memories import Content, Turn
from pmcp_common.contracts.personas import Contract, Identifier

MAX_EXCHANGES = 100
MAX_TURNS_TO_SUMMARISE = 100


class Exchange(Contract):
    """What was said to a persona, and its answer."""

    message_id: Identifier
    content: str
    created_at: AwareDatetime
    reply_id: str | None = Field(description="None: it was never answered")
    reply: str | None
    reply_at: AwareDatetime | None


class ExchangePage(Contract):
    exchanges: tuple[Exchange, ...] = Field(description="oldest first")
    has_more: bool = Field(description="there are older ones")


class ConversationFacts(Contract):
    """An empty conversation has only zeros and Nones."""

    turn_count: int = Field(ge=0, description="messages of both sides")
    first_at: AwareDatetime | None
    last_at: AwareDatetime | None
    tokens_used: int = Field(ge=0, description="of all replies")
    continue_score: float | None = Field(description="by which the last reply was routed")


class SummaryTask(Contract):
    """What to summarise next. No turns: nothing is due."""

    previous: str | None = Field(description="the summary so far, to be carried on")
    version: int = Field(ge=0, description="of the summary so far; 0: none")
    turns: tuple[Turn, ...] = Field(description="oldest first; they follow what the summary covers")


class SummaryDraft(Contract):
    """A summary of all up to and including one turn. Refused when another was written meanwhile."""

    content: Annotated[Content, Field(max_length=8000)]
    after_version: int = Field(ge=0)
    upto_message_id: Identifier


class SummaryWritten(Contract):
    version: int = Field(ge=1)


class Forgotten(Contract):
    """How much of a player was deleted."""

    turns: int = Field(ge=0)
    memories: int = Field(ge=0)
