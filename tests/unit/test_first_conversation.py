"""An ordinary talk of a player with a rested persona, by an injected clock: how long it is welcome.

Runs the pure rules of the persona service and of the worker together, as the off-path job does after each reply.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from pmcp_common.contracts.personas import Persona, Priority
from pmcp_common.contracts.talks import Routing
from pmcp_llm_worker.continue_score import OtherSide, score_continuation
from pmcp_llm_worker.reply_plan import ReplyPlan, plan_reply
from pmcp_persona import emotion, interaction, relationship
from pmcp_persona.turn_effects import Inner, Turn, after_turn, unmet

START = datetime(2026, 5, 9, 8, tzinfo=UTC)
ARIA = Persona(
    id="aria", version=1, name="Aria", charisma=18, energy=150, available_time=600, priority=Priority.SOCIAL,
    created_at=START,
)  # fmt: skip
KIRA = ARIA.model_copy(
    update={
        "id": "kira",
        "name": "Kira",
        "charisma": 12,
        "energy": 80,
        "available_time": 300,
        "priority": Priority.ACADEMIC,
    }
)


def talk(persona: Persona, messages: int, pause_seconds: float, quality: float = 0.0) -> list[ReplyPlan | None]:
    """How each message is answered; None: refused. `pause_seconds` from one message to the next, a reply takes 3."""
    plans: list[ReplyPlan | None] = []
    inner: Inner | None = None
    for number in range(messages):
        now = START + timedelta(seconds=pause_seconds * number)
        standing = interaction.rested(persona, now) if inner is None else inner.standing
        present = interaction.advance(standing, persona, now)
        if not interaction.is_available(present, now):
            plans.append(None)
            continue
        other = OtherSide(compatibility=None if inner is None else relationship.past(inner.bond))
        state = interaction.view(present, now)
        score = score_continuation(persona, state, "the weather", tokens_left=500, other=other)
        plans.append(plan_reply(score.total))
        answered = now + timedelta(seconds=min(3.0, pause_seconds))
        before = inner or Inner(unmet(persona, answered), relationship.strangers(answered), emotion.calm(answered))
        inner = after_turn(before, persona, Turn(3.0, quality), answered)
    return plans


def takes_leave(plan: ReplyPlan | None) -> bool:
    return plan is None or plan.routing is Routing.CLOSING or "leave" in plan.guidance


@pytest.mark.parametrize("persona", [ARIA, KIRA], ids=["aria", "kira"])
@pytest.mark.parametrize("quality", [0.0, 0.4], ids=["neutral", "kind"])
@pytest.mark.parametrize("pause_seconds", [5.0, 20.0, 30.0])
def test_nobody_says_goodbye_in_ten_messages(persona: Persona, quality: float, pause_seconds: float) -> None:
    plans = talk(persona, 10, pause_seconds, quality)
    assert not any(takes_leave(plan) for plan in plans)


@pytest.mark.parametrize("persona", [ARIA, KIRA], ids=["aria", "kira"])
@pytest.mark.parametrize("pause_seconds", [20.0, 30.0])
def test_an_ordinary_talk_is_welcome_for_more_than_ten_minutes(persona: Persona, pause_seconds: float) -> None:
    plans = talk(persona, int(600 / pause_seconds) + 1, pause_seconds)
    assert not any(takes_leave(plan) for plan in plans)


def test_who_talks_without_a_pause_wears_a_persona_out() -> None:
    plans = talk(KIRA, 60, 6.0)
    assert takes_leave(plans[-1])


def test_little_time_is_used_up_by_one_message() -> None:
    hurried = ARIA.model_copy(update={"available_time": 31})
    first, *others = talk(hurried, 4, 2.0)
    assert first is not None
    assert others == [None, None, None]
