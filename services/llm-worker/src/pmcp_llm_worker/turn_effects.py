"""Whom a stored turn tires and moves, and how much (pure).

A player's turn moves the persona that answered. Between personas it moves both: the speaker for the time it took, half
a minute at least, the listener for half of it, and both by what the turn was worth to the speaker. After a farewell to
a player the persona rests.
"""

from __future__ import annotations

from pmcp_common.contracts.memories import Turn
from pmcp_common.contracts.personas import ConversationEnd, Interaction
from pmcp_common.contracts.talks import Routing, partner_of

MAX_INTERACTION_SECONDS = 3600.0
LEAST_TALK_SECONDS = 30.0
LISTENING_SHARE = 0.5
MIDDLE_SCORE = 50.0


def interactions_of(
    reply: Turn, user_message_id: str, seconds: float, sentiment: float | None
) -> list[tuple[str, Interaction]]:
    """Persona and what it is told. `sentiment`: of the player's words."""
    seconds = min(MAX_INTERACTION_SECONDS, max(0.0, seconds))
    partner = partner_of(reply.player_id)
    if partner is None:
        told = Interaction(
            player_id=reply.player_id,
            interaction_id=reply.message_id,
            duration_seconds=seconds,
            sentiment=sentiment,
            user_message_id=user_message_id,
        )
        return [(reply.persona_id, told)]
    seconds = max(LEAST_TALK_SECONDS, seconds)
    worth = _worth(reply)
    return [
        (reply.persona_id, _talked(partner, reply.message_id, seconds, worth)),
        (partner, _talked(reply.persona_id, f"{reply.message_id}:heard", seconds * LISTENING_SHARE, worth)),
    ]


def _talked(partner_id: str, interaction_id: str, seconds: float, worth: float | None) -> Interaction:
    return Interaction(
        partner_persona_id=partner_id, interaction_id=interaction_id, duration_seconds=seconds, sentiment=worth
    )


def _worth(reply: Turn) -> float | None:
    score = reply.metadata.get("continue_score")
    if not isinstance(score, int | float):
        return None
    return max(-1.0, min(1.0, (score - MIDDLE_SCORE) / MIDDLE_SCORE))


def is_farewell(reply: Turn) -> bool:
    return reply.metadata.get("response_type") == Routing.CLOSING


def rest_after(farewell: Turn) -> ConversationEnd | None:
    """From a player; None between personas, whose talk is ended by whoever leads it."""
    score = farewell.metadata.get("continue_score")
    if partner_of(farewell.player_id) is not None or not isinstance(score, int | float):
        return None
    return ConversationEnd(
        player_id=farewell.player_id, interaction_id=farewell.message_id, continue_score=max(0.0, min(100.0, score))
    )
