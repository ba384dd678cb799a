"""What the parameters and results of every method have in common. The table itself: `methods`."""

from __future__ import annotations

from pydantic import AliasChoices, BaseModel, ConfigDict, Field

from pmcp_common.contracts.personas import Identifier


class Params(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)


class Result(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class NoParams(Params):
    pass


class OfPlayer(Params):
    """Whose history, memories and state are meant; the session itself when nobody is named."""

    player_id: Identifier | None = Field(
        default=None, validation_alias=AliasChoices("player_id", "sender"), description="also accepted as `sender`"
    )
