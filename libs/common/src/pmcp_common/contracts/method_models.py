"""What the parameters and results of every method have in common. The table itself: `methods`."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, AliasChoices, BaseModel, ConfigDict, Field

from pmcp_common.contracts.personas import Identifier
from pmcp_common.contracts.talks import PERSONA_PLAYER


class Params(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)


class Result(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class NoParams(Params):
    pass


def _a_player(value: str) -> str:
    if value.startswith(PERSONA_PLAYER):
        raise ValueError(f"must not begin with {PERSONA_PLAYER}")
    return value


PlayerId = Annotated[Identifier, AfterValidator(_a_player)]
"""Whoever a client says it speaks for, but no persona: those talk among themselves."""


class OfPlayer(Params):
    """Whose history, memories and state are meant; the session itself when nobody is named."""

    player_id: PlayerId | None = Field(
        default=None, validation_alias=AliasChoices("player_id", "sender"), description="also accepted as `sender`"
    )
