"""The keeper of expired sessions goes on, whatever becomes of one pass."""

from __future__ import annotations

import asyncio

import pytest

from pmcp_common.contracts.errors import Unavailable
from pmcp_gateway.session_upkeep import LEASE_SECONDS, PASS_SECONDS, end_expired_forever


class Sessions:
    def __init__(self, *answers: list[str] | Exception | None) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[str, str, float]] = []

    async def end_expired(self, tenant: str, keeper: str, lease_seconds: float) -> list[str] | None:
        self.asked.append((tenant, keeper, lease_seconds))
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


async def test_a_broker_that_is_away_costs_one_pass_and_nothing_else() -> None:
    sessions = Sessions(Unavailable("away"), None, ["one", "two"])
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        if not sessions.answers:
            raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await end_expired_forever(sessions, "local", "me", sleep=sleep)
    assert sessions.asked == [("local", "me", LEASE_SECONDS)] * 3
    assert slept == [PASS_SECONDS] * 4


def test_the_lease_outlasts_a_missed_pass() -> None:
    assert LEASE_SECONDS > 2 * PASS_SECONDS
