"""Parameters and results of state.save, state.load and state.list: rows of `methods`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from pmcp_common.contracts.method_models import OfPlayer, Result
from pmcp_common.contracts.personas import Identifier
from pmcp_common.contracts.saves import MAX_SAVES_LISTED, SaveLabel

_CONVERSATIONS = "conversations of this player with at least one message"


class StateSaveParams(OfPlayer):
    label: SaveLabel = Field(default="", description="what the player calls it: one line of at most 200 characters")


class SavedState(Result):
    current_persona_id: str | None
    current_conversation_id: str | None
    active_conversations: int = Field(description=_CONVERSATIONS)
    timestamp: str


class StateSaveResult(Result):
    state_saved: Literal[True]
    state: SavedState
    save_id: str = Field(description="names this moment for ever, in every session of this player")
    label: str


class StateLoadParams(OfPlayer):
    save_id: Identifier | None = Field(default=None, description="default: the newest save this player has made")


class StateChanges(Result):
    """How much became different."""

    turns_shown: int
    turns_hidden: int
    memories_shown: int = Field(description="an older text of a memory counts as one, and its present text as hidden")
    memories_hidden: int
    interaction_states: int
    relationships: int
    emotions: int


class StateLoadResult(Result):
    state_loaded: Literal[True]
    current_persona_id: str | None = Field(description="null: nobody, or a persona that was deleted since")
    current_conversation_id: str | None
    save_id: str
    label: str
    saved_at: str
    active_conversations: int = Field(description=_CONVERSATIONS)
    left_save_id: str = Field(description="the world that was left, saved by the way: loading it undoes this")
    changes: StateChanges
    timestamp: str


class StateListParams(OfPlayer):
    limit: int = Field(default=20, ge=1, le=MAX_SAVES_LISTED)


class StateListItem(Result):
    save_id: str
    label: str
    automatic: bool = Field(description="made by a load, of the world it left; the newest 20 are kept")
    saved_at: str
    current_persona_id: str | None
    current_persona_name: str | None
    active_conversations: int = Field(description=_CONVERSATIONS)


class StateListResult(Result):
    saves: list[StateListItem] = Field(description="of this player, newest first")
    count: int = Field(description="of those in this answer")
