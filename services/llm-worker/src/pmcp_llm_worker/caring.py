"""What a persona cares for and how it stands to the other side, for the weight of what it will remember.

Off the reply path, and never a reason to forget: what cannot be read is left out.
"""

from __future__ import annotations

import logging

from pmcp_common.contracts.errors import DomainError
from pmcp_common.contracts.memories import Standing, Turn
from pmcp_common.contracts.talks import as_player, partner_of
from pmcp_common.peers import PersonaPeer

log = logging.getLogger(__name__)


async def standing_of(personas: PersonaPeer, tenant: str, turn: Turn) -> Standing | None:
    """None: the persona service is away, or the persona is gone."""
    try:
        context = await personas.turn_context(tenant, turn.persona_id, turn.player_id, None)
        theirs = await _topics_of_partner(personas, tenant, turn)
    except DomainError as error:
        log.warning("remembering without interest and relationship", extra={"code": error.code})
        return None
    return Standing(
        topic_preferences=context.persona.topic_preferences if context.persona else {},
        partner_topic_preferences=theirs,
        relationship_strength=context.relationship_strength,
    )


async def _topics_of_partner(personas: PersonaPeer, tenant: str, turn: Turn) -> dict[str, int]:
    """Of a persona in the player's place; what a player likes nobody knows."""
    partner = partner_of(turn.player_id)
    if partner is None:
        return {}
    context = await personas.turn_context(tenant, partner, as_player(turn.persona_id), None)
    return context.persona.topic_preferences if context.persona else {}
