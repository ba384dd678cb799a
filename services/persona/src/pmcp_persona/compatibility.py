"""How well two personas fit, and what follows from it. Pure: from what they are and how they feel about each other.

overall = 0.35 personality + 0.25 social + 0.25 interests + 0.15 history, each 0..1, the same in both directions.
What is not known counts as average (0.5). Feelings that turned bad cap the whole: a rival is at best challenging, an
enemy difficult, however much the two have in common.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pmcp_common.contracts import traits
from pmcp_common.contracts.personas import Persona
from pmcp_common.contracts.relationships import (
    Compatibility,
    CompatibilityAnalysis,
    InteractionSuggestions,
    PersonaReference,
    RelationshipType,
)
from pmcp_persona import relationship
from pmcp_persona.relationship import Bond

PERSONALITY_SHARE, SOCIAL_SHARE, INTERESTS_SHARE, HISTORY_SHARE = 0.35, 0.25, 0.25, 0.15
UNKNOWN = 0.5
BIG_FIVE_WEIGHTS: Mapping[str, float] = {
    "openness": 0.20,
    "conscientiousness": 0.15,
    "extraversion": 0.25,
    "agreeableness": 0.25,
    "neuroticism": 0.15,
}
OTHER_TRAIT_WEIGHT = 0.10
FACTOR_OF: Mapping[str, str] = {
    "extroversion": "extraversion",
    "friendliness": "agreeableness",
    "friendly": "agreeableness",
    "helpfulness": "agreeableness",
    "kindness": "agreeableness",
    "kind": "agreeableness",
    "warm": "agreeableness",
    "warmth": "agreeableness",
    "curiosity": "openness",
    "curious": "openness",
    "creativity": "openness",
    "playful": "extraversion",
    "humor": "extraversion",
    "outgoing": "extraversion",
    "precise": "conscientiousness",
    "discipline": "conscientiousness",
    "thoughtful": "conscientiousness",
    "anxious": "neuroticism",
    "moody": "neuroticism",
}
"""Names clients use for the same five; several of one factor are averaged."""

RANKS: Mapping[str, int] = {"royalty": 5, "nobility": 4, "merchant": 3, "commoner": 2, "peasant": 1}
UNKNOWN_RANK = 2
MOST_CHARISMA = 20
LISTED_INTEREST = 0.8
"""An interest named without a number, on the scale of topic preferences."""

LABELS = ((0.8, "excellent"), (0.65, "very_good"), (0.5, "good"), (0.35, "challenging"))
LAST_LABEL = "difficult"
CAPS = {RelationshipType.RIVAL: 0.5, RelationshipType.ENEMY: 0.35}
STYLES: Mapping[str, tuple[str, str, str]] = {
    "excellent": ("open and personal", "close friendship", "daily"),
    "very_good": ("friendly and relaxed", "friendship", "several times a week"),
    "good": ("friendly", "good acquaintance", "weekly"),
    "challenging": ("polite and patient", "respect from a distance", "now and then"),
    "difficult": ("short and formal", "likely conflict", "rarely"),
}
"""Label → style, potential, frequency."""
MAX_TOPICS = 5
MAX_CHALLENGES = 5
SHARED_TOPIC = 0.5
FAR_APART = 0.4


def analyse(one: Persona, other: Persona, bond: Bond | None) -> Compatibility:
    history = UNKNOWN if bond is None else relationship.compatibility(bond)
    parts = {
        "personality": round(personality(one, other), 4),
        "social": round(social(one, other), 4),
        "interests": round(interests(one, other), 4),
        "history": round(history, 4),
    }
    overall = (
        PERSONALITY_SHARE * parts["personality"]
        + SOCIAL_SHARE * parts["social"]
        + INTERESTS_SHARE * parts["interests"]
        + HISTORY_SHARE * parts["history"]
    )
    if bond is not None:
        overall = min(overall, CAPS.get(bond.relationship_type, 1.0))
    overall = round(min(1.0, max(0.0, overall)), 4)
    prediction = label(overall)
    return Compatibility(
        persona1=PersonaReference(id=one.id, name=one.name),
        persona2=PersonaReference(id=other.id, name=other.name),
        analysis=CompatibilityAnalysis(overall=overall, **parts, prediction=prediction),
        suggestions=_suggestions(one, other, bond, prediction),
        existing_relationship=bond is not None,
    )


def label(overall: float) -> str:
    return next((name for limit, name in LABELS if overall > limit), LAST_LABEL)


def personality(one: Persona, other: Persona) -> float:
    """How alike they are: each of the five by its weight, average when it is not known of both; any other trait that
    both have by a tenth."""
    first, second = _factors(one), _factors(other)
    known = first.keys() & second.keys()
    shares = dict.fromkeys(sorted(known), OTHER_TRAIT_WEIGHT) | dict(BIG_FIVE_WEIGHTS)
    alike = sum(
        share * (1 - abs(first[name] - second[name]) if name in known else UNKNOWN) for name, share in shares.items()
    )
    return alike / sum(shares.values())


def social(one: Persona, other: Persona) -> float:
    """The social points of the continue score, as a share of the most there can be."""
    status = {0: 8, 1: 6, 2: 4}.get(_rank_gap(one, other), 2)
    return (0.8 * min(one.charisma, other.charisma) + status) / (0.8 * MOST_CHARISMA + 8)


def interests(one: Persona, other: Persona) -> float:
    """The pull of each topic either of them likes (0.7 average + 0.3 lower one), the dearer ones counting more."""
    first, second = _topics(one), _topics(other)
    weight = pull = 0.0
    for topic in sorted(first.keys() | second.keys()):
        a, b = first.get(topic, UNKNOWN), second.get(topic, UNKNOWN)
        weight += max(a, b)
        pull += max(a, b) * _pull(a, b)
    return pull / weight if weight else UNKNOWN


def _pull(a: float, b: float) -> float:
    return 0.7 * (a + b) / 2 + 0.3 * min(a, b)


def _factors(persona: Persona) -> dict[str, float]:
    gathered: dict[str, list[float]] = {}
    for name, level in traits.levels(persona.personality_traits).items():
        key = name.strip().casefold()
        gathered.setdefault(FACTOR_OF.get(key, key), []).append(level)
    return {name: sum(found) / len(found) for name, found in gathered.items()}


def _topics(persona: Persona) -> dict[str, float]:
    """Topic → 0..1."""
    liked = {_topic(name): LISTED_INTEREST for name in persona.interests}
    return liked | {_topic(name): value / 100 for name, value in persona.topic_preferences.items()}


def _topic(name: str) -> str:
    return name.strip().casefold().replace(" ", "_")


def _rank_gap(one: Persona, other: Persona) -> int:
    first, second = (RANKS.get(persona.social_rank.strip().casefold(), UNKNOWN_RANK) for persona in (one, other))
    return abs(first - second)


def _suggestions(one: Persona, other: Persona, bond: Bond | None, prediction: str) -> InteractionSuggestions:
    style, potential, frequency = STYLES[prediction]
    return InteractionSuggestions(
        interaction_style=style,
        recommended_topics=_shared_topics(one, other),
        potential_challenges=tuple(_challenges(one, other, bond))[:MAX_CHALLENGES],
        relationship_potential=potential,
        interaction_frequency=frequency,
    )


def _shared_topics(one: Persona, other: Persona) -> tuple[str, ...]:
    """What both like, the most pulling first; not what one of them likes so much more that it is a challenge."""
    first, second = _topics(one), _topics(other)
    apart = _far_apart(first, second)
    both = [topic for topic in first.keys() & second.keys() if min(first[topic], second[topic]) >= SHARED_TOPIC]
    shared = [topic for topic in both if topic not in apart]
    return tuple(sorted(shared, key=lambda topic: (-_pull(first[topic], second[topic]), topic))[:MAX_TOPICS])


def _challenges(one: Persona, other: Persona, bond: Bond | None) -> Iterator[str]:
    if bond is not None and bond.relationship_type in relationship.HOSTILE:
        yield f"They are each other's {bond.relationship_type.value}"
    if _rank_gap(one, other) >= 2:
        yield f"Different social ranks: {' and '.join(sorted((one.social_rank, other.social_rank)))}"
    yield from (f"Different {name}" for name in _far_apart(_factors(one), _factors(other)))
    yield from (f"Different views on {name.replace('_', ' ')}" for name in _far_apart(_topics(one), _topics(other)))


def _far_apart(first: Mapping[str, float], second: Mapping[str, float]) -> list[str]:
    """Names both have with values far from each other, the farthest first."""
    gaps = {name: abs(first[name] - second[name]) for name in first.keys() & second.keys()}
    return sorted((name for name, gap in gaps.items() if gap >= FAR_APART), key=lambda name: (-gaps[name], name))
