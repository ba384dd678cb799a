"""How much a persona wants to go on talking, 0..100: the rule existing clients know (pure).

A player has no character sheet, so the rule's middle values stand for it: charisma 10, commoner, preference 50; another
persona has its own. Durations are seconds of the rested persona's time that the other has used.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field

from pmcp_common.contracts.personas import InteractionState, Persona, Priority

MIDDLE_CHARISMA = 10
MIDDLE_RANK = "commoner"
MIDDLE_PREFERENCE = 50
UNKNOWN_RANK = 2
RANKS = {"royalty": 5, "nobility": 4, "merchant": 3, "commoner": 2, "peasant": 1}
TIME_POINTS = 30.0
TIME_DIVISORS = {Priority.URGENT: 2, Priority.CASUAL: 30, Priority.SOCIAL: 30}
DEFAULT_TIME_DIVISOR = 10
TOPIC_POINTS = 25.0
SOCIAL_POINTS = 20.0
FATIGUE_POINTS = 15
RESOURCE_POINTS = 10.0
NO_TOPIC = "general"
MAX_DRIFT = 2
DRIFT_FACTOR = 0.6
ENOUGH_SECONDS, ENOUGH_TOKENS, ENOUGH_ENERGY = 60, 100, 30


HISTORY_FACTOR, HISTORY_OFFSET = 12.5, -2.5


@dataclass(frozen=True, slots=True)
class OtherSide:
    """Whom the persona talks with."""

    charisma: int = MIDDLE_CHARISMA
    social_rank: str = MIDDLE_RANK
    topic_preferences: Mapping[str, int] = field(default_factory=dict)
    compatibility: float | None = None
    """0..1 of their relationship; None: they have none yet."""


PLAYER = OtherSide()


@dataclass(frozen=True, slots=True)
class ContinueScore:
    time: float
    topic: float
    social: float
    fatigue: float
    """Counts against the rest."""
    history: float
    resources: float

    @property
    def total(self) -> float:
        parts = self.time + self.topic + self.social - self.fatigue + self.history + self.resources
        return round(min(100.0, max(0.0, parts)), 1)

    def parts(self) -> dict[str, float]:
        return {name: round(value, 2) for name, value in asdict(self).items()}


def score_continuation(
    persona: Persona,
    state: InteractionState,
    subject: str,
    *,
    tokens_left: int,
    other: OtherSide = PLAYER,
    drift_count: int = 0,
) -> ContinueScore:
    """`subject`: the message, or the topic of a talk. `tokens_left`: of the budget."""
    mine = topic_preference(persona.topic_preferences, subject)
    theirs = topic_preference(other.topic_preferences, subject)
    return ContinueScore(
        time=_time(persona, state),
        topic=_topic(mine, theirs, drift_count),
        social=_social(persona, other),
        fatigue=float(min(FATIGUE_POINTS, state.interaction_fatigue // 2)),
        history=0.0 if other.compatibility is None else HISTORY_FACTOR * other.compatibility + HISTORY_OFFSET,
        resources=_resources(state, tokens_left),
    )


def drift_count(topic: str | None, lines: Sequence[str]) -> int:
    """How many of the newest lines (oldest first), in a row, name no word of the talk's topic; 0 without a topic."""
    words = [word for word in (topic or "").lower().replace("_", " ").split() if word != NO_TOPIC]
    if not words:
        return 0
    count = 0
    for line in reversed(lines):
        if any(word in line.lower() for word in words):
            break
        count += 1
    return count


def topic_preference(preferences: Mapping[str, int], subject: str) -> int:
    """Of the topics the subject names, the dearest; 50 when it names none."""
    text = subject.lower().replace("_", " ")
    named = [value for topic, value in preferences.items() if topic and topic.lower().replace("_", " ") in text]
    return min(100, max(0, max(named))) if named else MIDDLE_PREFERENCE


def _time(persona: Persona, state: InteractionState) -> float:
    used_seconds = max(0, persona.available_time - state.available_time)
    divisor = TIME_DIVISORS.get(state.current_priority, DEFAULT_TIME_DIVISOR)
    return max(0.0, TIME_POINTS - used_seconds / divisor)


def _topic(mine: int, theirs: int, drift_count: int) -> float:
    pull = 0.7 * (mine + theirs) / 2 + 0.3 * min(mine, theirs)
    if drift_count > MAX_DRIFT:
        pull *= DRIFT_FACTOR
    return pull * TOPIC_POINTS / 100


def _social(persona: Persona, other: OtherSide) -> float:
    status = {0: 8, 1: 6, 2: 4}.get(abs(_rank(persona.social_rank) - _rank(other.social_rank)), 2)
    return min(SOCIAL_POINTS, (0.8 * min(persona.charisma, other.charisma) + status) / 2)


def _rank(name: str) -> int:
    return RANKS.get(name.lower(), UNKNOWN_RANK)


def _resources(state: InteractionState, tokens_left: int) -> float:
    shares = (
        state.available_time / ENOUGH_SECONDS,
        tokens_left / ENOUGH_TOKENS,
        state.social_energy / ENOUGH_ENERGY,
    )
    points = RESOURCE_POINTS
    for share in shares:
        points *= min(1.0, max(0.0, share))
    return points
