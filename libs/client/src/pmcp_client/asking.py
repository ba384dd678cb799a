"""One request until its answer counts: on the next link when one is lost, again when a gateway asks to come later.

Above it: `connection`, which knows the link of the moment. Rule: only what may be done twice is sent twice, and all of
it happens within the time the caller gave.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pmcp_client.backoff import Uniform, later
from pmcp_client.failures import CallFailed, ConnectionLost, failure_of
from pmcp_client.link import Link
from pmcp_client.messages import Messages
from pmcp_client.stream import Frame
from pmcp_common.contracts.errors import NO_ACTIVE_PERSONA


@dataclass(slots=True)
class _Caller:
    until: float
    """Of the loop's clock: nobody waits after that."""
    refusal: CallFailed | None = None
    """The last one that asked to come later."""


class Asking:
    """`persistent` False: every request is sent once."""

    def __init__(
        self, linked: Callable[[], Awaitable[Link]], messages: Messages, uniform: Uniform, *, persistent: bool
    ) -> None:
        self._linked = linked
        self._messages = messages
        self._uniform = uniform
        self._persistent = persistent

    async def ask(self, method: str, params: Mapping[str, Any] | None, timeout_seconds: float) -> Frame:
        """The answer, which is no error. Raises CallFailed, ConnectionLost, TimeoutError."""
        complete, repeatable = self._messages.complete(method, params)
        caller = _Caller(asyncio.get_running_loop().time() + timeout_seconds)
        try:
            async with asyncio.timeout(timeout_seconds):
                answer = await self._answer(caller, method, complete, repeatable)
                if code_of(answer) == NO_ACTIVE_PERSONA.code and self._messages.persona is not None:
                    # The session was lost with the broker's data, and with it whom it talks to.
                    await self._answer(caller, "persona.switch", self._messages.persona, repeatable=True)
                    answer = await self._answer(caller, method, complete, repeatable)
        except TimeoutError:
            self._messages.gave_up(method, complete)
            if caller.refusal is not None:
                raise caller.refusal from None
            raise
        if answer.get("error") is not None:
            failure = failure_of(answer["error"])
            # Refused for now, it may have been stored all the same: the answer was not waited for.
            if retry_seconds(failure) is not None:
                self._messages.gave_up(method, complete)
            raise failure
        return answer

    async def _answer(self, caller: _Caller, method: str, params: Frame, repeatable: bool) -> Frame:
        again = self._persistent and repeatable
        while True:
            link = await self._linked()
            try:
                answer = await link.ask(method, params)
            except ConnectionLost:
                if not again:
                    raise
                continue
            pause = self._pause_after(caller, answer) if again else None
            if pause is None:
                return answer
            await asyncio.sleep(pause)

    def _pause_after(self, caller: _Caller, answer: Frame) -> float | None:
        """Seconds until the same request may be answered otherwise; None: not within the caller's time."""
        if answer.get("error") is None:
            return None
        failure = failure_of(answer["error"])
        seconds = retry_seconds(failure)
        if seconds is None:
            return None
        caller.refusal = failure
        pause = later(seconds, self._uniform)
        return pause if asyncio.get_running_loop().time() + pause < caller.until else None


def code_of(answer: Frame) -> object:
    error = answer.get("error")
    return error.get("code") if isinstance(error, dict) else None


def retry_seconds(failure: CallFailed) -> float | None:
    """After how long the same request may be sent again; None: it would get the same answer, or no time is named.

    An error that names its stream is how a message ended that was accepted: under its key it would be told again.
    """
    seconds = failure.data.get("retry_after")
    if not failure.retryable or "stream_id" in failure.data:
        return None
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not math.isfinite(seconds):
        return None
    return max(0.0, float(seconds))
