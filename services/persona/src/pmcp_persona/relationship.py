"""How two come to feel about each other: one update rule, what follows from it, its names. Pure.

The rule is the one the original's data model has: an interaction of quality q (-1..1) that lasted m minutes weighs
w = min(1, m / 30) and moves affinity by 0.05 q w, trust by 0.03 q w when q is positive, respect by 0.04 q w when q is
beyond ±0.5, and intimacy by 0.02 when q is over 0.3 and they have talked for more than 10 minutes. Turns of a chat
come one by one: those with less than half an hour between them are one talk, and each adds its share of the 0.02,
a tenth for each minute. Everybody begins at 0.

A role somebody gave (mentor, student, romantic, family) stays until another is given; the other types follow from
strength.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Self

from pmcp_common.contracts.errors import InvalidParams
from pmcp_common.contracts.relationships import RelationshipType

FULL_WEIGHT_MINUTES = 30.0
AFFINITY_STEP, TRUST_STEP, RESPECT_STEP, INTIMACY_STEP = 0.05, 0.03, 0.04, 0.02
RESPECT_BEYOND = 0.5
INTIMATE_QUALITY, INTIMATE_MINUTES = 0.3, 10.0
TALK_PAUSE_SECONDS = 1800.0

GIVEN_ROLES = frozenset(
    {RelationshipType.MENTOR, RelationshipType.STUDENT, RelationshipType.ROMANTIC, RelationshipType.FAMILY}
)
NEUTRAL = frozenset({RelationshipType.STRANGER, RelationshipType.ACQUAINTANCE})
HOSTILE = frozenset({RelationshipType.RIVAL, RelationshipType.ENEMY})
CLOSE_FROM, FRIEND_FROM, RIVAL_TO, ENEMY_TO = 0.6, 0.3, -0.2, -0.5
STRENGTHS = {
    RelationshipType.CLOSE_FRIEND: 0.8,
    RelationshipType.FRIEND: 0.45,
    RelationshipType.ACQUAINTANCE: 0.0,
    RelationshipType.STRANGER: 0.0,
    RelationshipType.RIVAL: 0.35,
    RelationshipType.ENEMY: 0.75,
}
"""The middle of what each type stands for; how hostile, for a rival or enemy. Of a role it says nothing."""
ACQUAINTED_FROM_COUNT = 3
"""Two who met less often are strangers, unless their feelings already say otherwise."""


@dataclass(frozen=True, slots=True)
class Pair:
    """Who: two personas, the lesser id first, or a persona and a player."""

    tenant: str
    kind: str
    first_id: str
    second_id: str

    @classmethod
    def of_personas(cls, tenant: str, one: str, other: str) -> Self:
        if one == other:
            raise InvalidParams("A persona has no relationship with itself")
        return cls(tenant, "persona", *sorted((one, other)))

    @classmethod
    def with_player(cls, tenant: str, persona_id: str, player_id: str) -> Self:
        return cls(tenant, "player", persona_id, player_id)

    @property
    def key(self) -> tuple[str, str, str, str]:
        return self.tenant, self.kind, self.first_id, self.second_id

    def other_than(self, persona_id: str) -> str:
        return self.second_id if persona_id == self.first_id else self.first_id


@dataclass(frozen=True, slots=True)
class Bond:
    """The feelings between two, as of `last_interaction`."""

    affinity: float
    trust: float
    respect: float
    intimacy: float
    relationship_type: RelationshipType
    interaction_count: int
    total_seconds: float
    talk_seconds: float
    """Of the talk that `last_interaction` was part of."""
    first_meeting: datetime
    last_interaction: datetime


def strangers(now: datetime) -> Bond:
    return Bond(0.0, 0.0, 0.0, 0.0, RelationshipType.STRANGER, 0, 0.0, 0.0, now, now)


def strength(bond: Bond) -> float:
    """-1..1; being close makes liking stronger, and dislike too."""
    closeness = 0.1 * bond.intimacy if bond.affinity >= 0 else -0.1 * bond.intimacy
    return _signed(0.4 * bond.affinity + 0.3 * bond.trust + 0.2 * bond.respect + closeness)


def compatibility(bond: Bond) -> float:
    """0..1. Bad feelings count against it (the original took their size, so that enemies came out compatible)."""
    closeness = 0.2 * bond.intimacy if bond.affinity >= 0 else 0.0
    score = 0.3 * bond.affinity + 0.25 * bond.trust + 0.25 * bond.respect + closeness
    return _share(score * 1.2 if bond.affinity > 0 and bond.trust > 0 else score)


def past(bond: Bond) -> float | None:
    """The compatibility that counts for whether to talk on; None while the two are neither friends nor foes.

    From the first word on it would be a penalty: everybody begins at 0, and below 0.2 the past speaks against it.
    """
    return None if bond.relationship_type in NEUTRAL else compatibility(bond)


def interact(bond: Bond, quality: float, duration_seconds: float, now: datetime) -> Bond:
    minutes = duration_seconds / 60
    weighed = quality * min(1.0, minutes / FULL_WEIGHT_MINUTES)
    pause = (now - bond.last_interaction).total_seconds() - duration_seconds
    talk_seconds = duration_seconds + (bond.talk_seconds if pause < TALK_PAUSE_SECONDS else 0.0)
    intimate = quality > INTIMATE_QUALITY and talk_seconds > INTIMATE_MINUTES * 60
    moved = replace(
        bond,
        affinity=_signed(bond.affinity + AFFINITY_STEP * weighed),
        trust=_signed(bond.trust + TRUST_STEP * max(0.0, weighed)),
        respect=_signed(bond.respect + (RESPECT_STEP * weighed if abs(quality) > RESPECT_BEYOND else 0.0)),
        intimacy=_share(bond.intimacy + (INTIMACY_STEP * min(1.0, minutes / INTIMATE_MINUTES) if intimate else 0.0)),
        interaction_count=bond.interaction_count + 1,
        total_seconds=bond.total_seconds + duration_seconds,
        talk_seconds=talk_seconds,
        last_interaction=max(now, bond.last_interaction),
    )
    return replace(moved, relationship_type=_type_of(moved))


def arrange(bond: Bond, kind: RelationshipType | None, wanted_strength: float | None, now: datetime) -> Bond:
    """As somebody wants it to be. `wanted_strength` 0..1; hostile types take it below zero. A type alone, if the
    feelings say otherwise, gives those in the middle of what it stands for."""
    given = kind or bond.relationship_type
    if wanted_strength is None and kind is not None and kind in STRENGTHS and not _stands_for(kind, strength(bond)):
        wanted_strength = STRENGTHS[kind]
    moved = bond if wanted_strength is None else _with_strength(bond, wanted_strength, hostile=given in HOSTILE)
    moved = replace(moved, last_interaction=max(now, bond.last_interaction))
    return replace(moved, relationship_type=kind or _type_of(moved))


def _stands_for(kind: RelationshipType, power: float) -> bool:
    """Those who met rarely and those who met often feel alike."""
    named = _named_for(power)
    return kind is named or (named is None and kind in NEUTRAL)


def _with_strength(bond: Bond, wanted: float, *, hostile: bool) -> Bond:
    """Affinity, trust and respect alike, and as much of the intimacy as that strength can have."""
    intimacy = min(max(bond.intimacy, 10 * wanted - 9), 1.0, 5 * wanted)
    feeling = _share((wanted - 0.1 * intimacy) / 0.9) * (-1 if hostile else 1)
    return replace(bond, affinity=feeling, trust=feeling, respect=feeling, intimacy=_share(intimacy))


def _type_of(bond: Bond) -> RelationshipType:
    if bond.relationship_type in GIVEN_ROLES:
        return bond.relationship_type
    few = bond.interaction_count < ACQUAINTED_FROM_COUNT
    return _named_for(strength(bond)) or (RelationshipType.STRANGER if few else RelationshipType.ACQUAINTANCE)


def _named_for(power: float) -> RelationshipType | None:
    """None: the strength of strangers and acquaintances."""
    for limit, kind in ((CLOSE_FROM, RelationshipType.CLOSE_FRIEND), (FRIEND_FROM, RelationshipType.FRIEND)):
        if power >= limit:
            return kind
    for limit, kind in ((ENEMY_TO, RelationshipType.ENEMY), (RIVAL_TO, RelationshipType.RIVAL)):
        if power <= limit:
            return kind
    return None


def _signed(value: float) -> float:
    return min(1.0, max(-1.0, value))


def _share(value: float) -> float:
    return min(1.0, max(0.0, value))
