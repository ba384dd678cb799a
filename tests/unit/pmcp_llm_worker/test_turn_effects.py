"""Whom a turn tires: the persona that answered; between personas both, the listener half as much."""

from __future__ import annotations

import pytest

from pmcp_common.contracts.memories import Role
from pmcp_llm_worker.turn_effects import interactions_of
from tests.unit.pmcp_llm_worker.doubles import turn

REPLY = turn(2, Role.ASSISTANT, "Yes.")


def test_a_players_turn_moves_the_persona_that_answered() -> None:
    ((persona, told),) = interactions_of(REPLY, "u1", 4.0, 0.5)
    assert (persona, told.player_id, told.partner_persona_id) == ("p-aria", "player", None)
    assert (told.interaction_id, told.duration_seconds, told.sentiment) == ("old-2", 4.0, 0.5)


@pytest.mark.parametrize(("seconds", "counted"), [(-1.0, 0.0), (99_999.0, 3600.0)])
def test_no_turn_counts_for_less_than_nothing_or_more_than_an_hour(seconds: float, counted: float) -> None:
    assert interactions_of(REPLY, "u1", seconds, None)[0][1].duration_seconds == counted


def test_between_personas_the_listener_tires_half_as_much() -> None:
    reply = REPLY.model_copy(update={"player_id": "persona:p-kira", "metadata": {"continue_score": 75.0}})
    (speaker, said), (listener, heard) = interactions_of(reply, "u1", 2.0, None)
    assert (speaker, said.partner_persona_id, said.duration_seconds) == ("p-aria", "p-kira", 30.0)
    assert (listener, heard.partner_persona_id, heard.duration_seconds) == ("p-kira", "p-aria", 15.0)
    assert said.sentiment == heard.sentiment == 0.5
    assert said.interaction_id != heard.interaction_id
