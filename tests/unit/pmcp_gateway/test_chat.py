"""A message is taken or refused within one bound, whatever its way to the broker has cost of it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast

import pytest

from pmcp_common.contracts.errors import Unavailable
from pmcp_common.contracts.jobs import Accepted
from pmcp_gateway.methods.call import Call, Services
from pmcp_gateway.methods.chat import LEAST_SUBMIT_SECONDS, chat_stream

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SUBMIT_SECONDS = 3.0


@dataclass
class Scene:
    """Only what a message touches on its way to a broker that never answers."""

    slow_name: timedelta
    now: datetime = NOW
    bounds: list[float] = field(default_factory=list)

    async def resolve(self, *_: str) -> tuple[str, str]:
        self.now += self.slow_name
        return "aria", "Aria"

    async def submit(self, _: object) -> Accepted:
        self.bounds.append(asyncio.get_running_loop().time())
        await asyncio.Event().wait()
        raise AssertionError

    def services(self) -> Services:
        return cast(
            Services,
            SimpleNamespace(
                clock=SimpleNamespace(now=lambda: self.now),
                names=SimpleNamespace(resolve=self.resolve),
                queue=SimpleNamespace(submit=self.submit),
                submissions=asyncio.Semaphore(1),
                limits=SimpleNamespace(submit_seconds=SUBMIT_SECONDS),
                new_id=lambda: "id",
                gateway_id="gw",
                recording=SimpleNamespace(add=None),
            ),
        )


def call() -> Call:
    who = SimpleNamespace(tenant="local", principal="local", session_id="s", gen=1)
    return Call(cast(Any, SimpleNamespace(session=who)), 1, "persona.chat_stream", "r", answered=False)


@pytest.mark.parametrize("name_took", [SUBMIT_SECONDS - 0.5, SUBMIT_SECONDS, 10 * SUBMIT_SECONDS])
async def test_a_name_that_was_waited_for_leaves_a_silent_broker_less_time(name_took: float) -> None:
    scene = Scene(timedelta(seconds=name_took))
    params = SimpleNamespace(
        persona_id="aria",
        player_id=None,
        message="Hi",
        token_budget=100,
        idempotency_key=None,
        deadline_ms=None,
        on_interrupt="continue",
    )
    with pytest.raises(Unavailable) as refused:
        await chat_stream(scene.services(), call(), cast(Any, params))
    waited = asyncio.get_running_loop().time() - scene.bounds[0]
    assert waited == pytest.approx(max(LEAST_SUBMIT_SECONDS, SUBMIT_SECONDS - name_took), abs=0.4)
    assert refused.value.data["retry_after"]
