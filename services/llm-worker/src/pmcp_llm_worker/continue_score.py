"""How much a persona wants to go on talking, 0..100: the rule existing clients know (pure).

The player has no character sheet, so the rule's middle values stand for it: charisma 10, commoner, preference 50,
no relationship. Durations are seconds of the rested persona's time that this player has used.
"""

from __future__ import annotations

from dataclasses import dataclass

from pmcp_common.contracts.personas import InteractionState, Persona, Priority

PLAYER_CHARISMA = 10
PLAYER_RANK = 2
PLAYER_PREFERENCE = 50
UNKNOWN_RANK = 2
RANKS = {"royalty": 5, "nobility": 4, "merchant": 3, "commoner": 2, "peasant": 1}
TIME_POINTS = 30.0
TIME_DIVISORS = {Priority.URGENT: 2, Priority.CASUAL: 30, Priority.SOCIAL: 30}
DEFAULT_TIME_DIVISOR = 10
TOPIC_POINTS = 25.0
SOCIAL_POINTS = 20.0
FATIGUE_POINTS = 15
RESOURCE_POINTS = 10.0
MAX_DRIFT = 2
DRIFT_FACTOR = 0.6
ENOUGH_SECONDS, ENOUGH_TOKENS, ENOUGH_ENERGY = 60, 100, 30


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


def score_continuation(
    persona: Persona, state: InteractionState, message: str, *, tokens_left: int, drift_count: int = 0
) -> ContinueScore:
    """`tokens_left`: of the client's budget for this reply."""
    return ContinueScore(
        time=_time(persona, state),
        topic=_topic(topic_preference(persona, message), drift_count),
        social=_social(persona),
        fatigue=float(min(FATIGUE_POINTS, state.interaction_fatigue // 2)),
        history=0.0,
        resources=_resources(state, tokens_left),
    )


def topic_preference(persona: Persona, message: str) -> int:
    """Of the persona's topics that the message names, the dearest; 50 when it names none."""
    text = message.lower()
    named = [
        value for topic, value in persona.topic_preferences.items() if topic and topic.lower().replace("_", " ") in text
    ]
    return min(100, max(0, max(named))) if named else PLAYER_PREFERENCE


def _time(persona: Persona, state: InteractionState) -> float:
    used_seconds = max(0, persona.available_time - state.available_time)
    divisor = TIME_DIVISORS.get(state.current_priority, DEFAULT_TIME_DIVISOR)
    return max(0.0, TIME_POINTS - used_seconds / divisor)


def _topic(preference: int, drift_count: int) -> float:
    pull = 0.7 * (preference + PLAYER_PREFERENCE) / 2 + 0.3 * min(preference, PLAYER_PREFERENCE)
    if drift_count > MAX_DRIFT:
        pull *= DRIFT_FACTOR
    return pull * TOPIC_POINTS / 100


def _social(persona: Persona) -> float:
    gap = abs(RANKS.get(persona.social_rank.lower(), UNKNOWN_RANK) - PLAYER_RANK)
    status = {0: 8, 1: 6, 2: 4}.get(gap, 2)
    return min(SOCIAL_POINTS, (0.8 * min(persona.charisma, PLAYER_CHARISMA) + status) / 2)


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
