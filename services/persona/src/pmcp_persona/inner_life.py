"""What happens to personas, stored: turns, ends of conversations, meetings, moods. Each once for each cause.

Every change holds the personas it touches, so that two changes never start from the same state. Above it stand the
API's routes; the rules are `turn_effects`, `interaction`, `relationship` and `emotion`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta

from pmcp_common.contracts.errors import PersonaNotFound, PersonasNotFound
from pmcp_common.contracts.personas import ConversationEnd, Interaction, OtherSide, Persona
from pmcp_common.contracts.relationships import (
    Compatibility,
    Emotion,
    EmotionChange,
    Meeting,
    PersonaReference,
    Relationship,
    RelationshipBetween,
    RelationshipList,
    RelationshipSetting,
    RelationshipStats,
    RelationshipWithPlayer,
)
from pmcp_common.contracts.talks import partner_of
from pmcp_persona import compatibility, emotion, emotion_rows, interaction, relationship, relationship_rows
from pmcp_persona.database import Database, Rows
from pmcp_persona.emotion import BASELINE
from pmcp_persona.interaction import Standing
from pmcp_persona.relationship import Bond, Pair
from pmcp_persona.relationship_rows import Told
from pmcp_persona.store import WORLD, Acquaintance, find, find_for_turn, hold, write_standing
from pmcp_persona.turn_effects import Inner, Turn, after_turn, unmet

RECENT = timedelta(hours=24)


class InnerLife:
    """`world`: one standing towards everybody instead of one towards each player."""

    def __init__(self, database: Database, *, world: bool) -> None:
        self._database = database
        self._world = world

    def standing_of(self, player_id: str | None) -> str:
        """Under whose name the standing towards this player is kept."""
        return WORLD if self._world or player_id is None else player_id

    async def record_turn(self, tenant: str, reference: str, told: Interaction, now: datetime) -> Acquaintance:
        """Tires and moves the persona; a repeat returns the standing as it is."""
        async with self._holding(tenant, reference, told) as (rows, found, partner):
            pair = _pair(tenant, found.persona, told, partner)
            if told.interaction_id in found.recent_interactions:
                return found
            if await relationship_rows.is_told(rows, pair, told.interaction_id):
                return found
            bond = await relationship_rows.read(rows, pair) or relationship.strangers(now)
            feelings = await emotion_rows.read(rows, tenant, found.persona)
            before = Inner(found.standing or unmet(found.persona, now), bond, feelings)
            turn = Turn(told.duration_seconds, told.sentiment or 0.0)
            after = after_turn(before, found.persona, turn, now)
            occasion = Told(
                told.interaction_id, now, turn.quality, turn.shared_seconds, "conversation", told.user_message_id
            )
            await relationship_rows.write(rows, pair, bond, after.bond, occasion)
            await emotion_rows.write(
                rows,
                tenant,
                found.persona.id,
                feelings,
                after.feelings,
                cause_id=told.interaction_id,
                cause="conversation",
                player_id=told.player_id,
                now=now,
            )
            return await self._keep(rows, tenant, found, told, after.standing)

    async def end_conversation(self, tenant: str, reference: str, told: ConversationEnd, now: datetime) -> Acquaintance:
        """Sets the cooldown; a repeat returns the standing as it is."""
        async with self._holding(tenant, reference, told) as (rows, found, _):
            if told.interaction_id in found.recent_interactions:
                return found
            cooled = interaction.cool_down(_standing(found, now), found.persona, told.continue_score, now)
            return await self._keep(rows, tenant, found, told, cooled)

    @asynccontextmanager
    async def _holding(
        self, tenant: str, reference: str, told: OtherSide
    ) -> AsyncIterator[tuple[Rows, Acquaintance, Persona | None]]:
        """The persona, held, with its standing, and the partner when that is a persona too."""
        standing_of = self.standing_of(told.player_id)
        async with self._database.transaction() as rows:
            persona = (await find(rows, tenant, reference, standing_of)).persona
            partner = None
            if told.partner_persona_id is not None:
                partner = (await find(rows, tenant, told.partner_persona_id, WORLD)).persona
            await _hold_all(rows, tenant, [persona] if partner is None else [persona, partner])
            yield rows, await find(rows, tenant, persona.id, standing_of), partner

    async def _keep(
        self, rows: Rows, tenant: str, found: Acquaintance, told: OtherSide, standing: Standing
    ) -> Acquaintance:
        return await write_standing(
            rows, tenant, self.standing_of(told.player_id), found, standing, told.interaction_id
        )

    # ---- relationships

    async def between(self, tenant: str, one: str, other: str) -> RelationshipBetween:
        """Raises PersonasNotFound."""
        first, second = await _both(self._database, tenant, one, other)
        return await _between(self._database, tenant, first, second)

    async def meet(self, tenant: str, one: str, other: str, told: Meeting, now: datetime) -> RelationshipBetween:
        seconds = told.duration_minutes * 60
        occasion = Told(told.cause_id, now, told.quality, seconds, told.context)
        return await self._move(
            tenant, one, other, occasion, lambda bond: relationship.interact(bond, told.quality, seconds, now)
        )

    async def arrange(
        self, tenant: str, one: str, other: str, told: RelationshipSetting, now: datetime
    ) -> RelationshipBetween:
        occasion = Told(told.cause_id, now, 0.0, 0.0, "set by hand")
        return await self._move(
            tenant,
            one,
            other,
            occasion,
            lambda bond: relationship.arrange(bond, told.relationship_type, told.strength, now),
        )

    async def _move(
        self, tenant: str, one: str, other: str, told: Told, change: Callable[[Bond], Bond]
    ) -> RelationshipBetween:
        async with self._database.transaction() as rows:
            first, second = await _both(rows, tenant, one, other)
            pair = Pair.of_personas(tenant, first.id, second.id)
            await _hold_all(rows, tenant, [first, second])
            if not await relationship_rows.is_told(rows, pair, told.cause_id):
                bond = await relationship_rows.read(rows, pair) or relationship.strangers(told.happened_at)
                await relationship_rows.write(rows, pair, bond, change(bond), told)
            return await _between(rows, tenant, first, second)

    async def relationships(self, tenant: str, reference: str, player_id: str) -> RelationshipList:
        persona = (await find(self._database, tenant, reference, WORLD)).persona
        return RelationshipList(
            persona=PersonaReference(id=persona.id, name=persona.name),
            relationships=await relationship_rows.list_of(self._database, tenant, persona.id),
            with_player=await self._with_player(tenant, persona, player_id),
        )

    async def with_player(self, tenant: str, reference: str, player_id: str, now: datetime) -> RelationshipWithPlayer:
        persona = (await find(self._database, tenant, reference, WORLD)).persona
        pair = Pair.with_player(tenant, persona.id, player_id)
        return RelationshipWithPlayer(
            relationship=await self._with_player(tenant, persona, player_id),
            recent_interactions=await relationship_rows.count_since(self._database, pair, now - RECENT),
        )

    async def _with_player(self, tenant: str, persona: Persona, player_id: str) -> Relationship | None:
        pair = Pair.with_player(tenant, persona.id, player_id)
        bond = await relationship_rows.read(self._database, pair)
        if bond is None:
            return None
        events = await relationship_rows.history(self._database, pair)
        return relationship_rows.view(bond, persona.id, player_id, None, events)

    async def compatibility(self, tenant: str, one: str, other: str) -> Compatibility:
        first, second = await _both(self._database, tenant, one, other)
        pair = Pair.of_personas(tenant, first.id, second.id)
        return compatibility.analyse(first, second, await relationship_rows.read(self._database, pair))

    async def for_turn(
        self, tenant: str, reference: str, standing: str, player_id: str
    ) -> tuple[Acquaintance, Bond | None]:
        """How the persona stands, and what it feels for a player or for the persona in a player's place.

        None: they never met. Raises PersonaNotFound.
        """
        found, bond = await find_for_turn(self._database, tenant, reference, standing, player_id)
        partner = partner_of(player_id)
        if partner is not None:
            bond = await relationship_rows.read(self._database, Pair.of_personas(tenant, found.persona.id, partner))
        return found, bond

    async def stats(self, tenant: str) -> RelationshipStats:
        kinds = await relationship_rows.figures(self._database, tenant)
        return RelationshipStats(
            personas=kinds["persona"],
            players=kinds["player"],
            most_active_personas=await relationship_rows.most_active(self._database, tenant),
        )

    # ---- moods

    async def mood(self, tenant: str, reference: str, player_id: str, now: datetime) -> Emotion:
        persona = (await find(self._database, tenant, reference, WORLD)).persona
        return await _mood(self._database, tenant, persona, player_id, now)

    async def set_mood(self, tenant: str, reference: str, told: EmotionChange, now: datetime) -> Emotion:
        async with self._database.transaction() as rows:
            persona = (await find(rows, tenant, reference, WORLD)).persona
            await _hold_all(rows, tenant, [persona])
            if not await emotion_rows.is_told(rows, tenant, persona.id, told.cause_id):
                before = await emotion_rows.read(rows, tenant, persona)
                values = {name: value for name in BASELINE if (value := getattr(told, name)) is not None}
                await emotion_rows.write(
                    rows,
                    tenant,
                    persona.id,
                    before,
                    emotion.put(before, values, now),
                    cause_id=told.cause_id,
                    cause="update",
                    player_id=None,
                    now=now,
                )
            return await _mood(rows, tenant, persona, None, now)


async def _hold_all(rows: Rows, tenant: str, personas: list[Persona]) -> None:
    held = await hold(rows, tenant, [persona.id for persona in personas])
    for persona in personas:
        if persona.id not in held:  # deleted a moment ago
            raise PersonaNotFound(persona.id)


async def _both(rows: Rows, tenant: str, one: str, other: str) -> tuple[Persona, Persona]:
    found, missing = [], []
    for reference in (one, other):
        try:
            found.append((await find(rows, tenant, reference, WORLD)).persona)
        except PersonaNotFound:
            missing.append(reference)
    if missing:
        raise PersonasNotFound(*missing)
    return found[0], found[1]


async def _between(rows: Rows, tenant: str, first: Persona, second: Persona) -> RelationshipBetween:
    pair = Pair.of_personas(tenant, first.id, second.id)
    bond = await relationship_rows.read(rows, pair)
    seen = None
    if bond is not None:
        seen = relationship_rows.view(
            bond, first.id, second.id, second.name, await relationship_rows.history(rows, pair)
        )
    return RelationshipBetween(
        persona1=PersonaReference(id=first.id, name=first.name),
        persona2=PersonaReference(id=second.id, name=second.name),
        relationship=seen,
    )


async def _mood(rows: Rows, tenant: str, persona: Persona, player_id: str | None, now: datetime) -> Emotion:
    feelings = await emotion_rows.read(rows, tenant, persona)
    events = await emotion_rows.history(rows, tenant, persona.id, player_id)
    return emotion_rows.view(feelings, persona.id, now, events)


def _pair(tenant: str, persona: Persona, told: OtherSide, partner: Persona | None) -> Pair:
    if partner is not None:
        return Pair.of_personas(tenant, persona.id, partner.id)
    assert told.player_id is not None
    return Pair.with_player(tenant, persona.id, told.player_id)


def _standing(found: Acquaintance, now: datetime) -> Standing:
    return found.standing or interaction.rested(found.persona, now)
