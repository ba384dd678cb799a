"""The one retry layer of the reply path: before the first token, at most twice, jittered, within one first-token limit.

After the first piece a failure goes straight up: what was shown is never generated again.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace

from pmcp_common.clock import Clock
from pmcp_llm_worker import metrics
from pmcp_llm_worker.breaker import Breaker
from pmcp_llm_worker.model import (
    Generation,
    ModelAway,
    ModelBroken,
    ModelClient,
    ModelError,
    ModelMissing,
    ModelStalled,
    ModelUnwilling,
    Patience,
    Prompt,
    TextSink,
    Usage,
)

log = logging.getLogger(__name__)

MAX_RETRIES = 2
RETRY_SECONDS = (0.1, 0.5)
"""The pause is drawn from this range and doubles with each retry."""


@dataclass(slots=True)
class RetryingModel:
    client: ModelClient
    clock: Clock
    random: random.Random = field(default_factory=random.Random)
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    breaker: Breaker = field(init=False)

    def __post_init__(self) -> None:
        self.breaker = Breaker(self.clock, metrics.note_breaker)

    async def generate(self, prompt: Prompt, generation: Generation, patience: Patience, sink: TextSink) -> Usage:
        """As `ModelClient.generate`; an answer without a word counts as broken, unless something was said before it.

        Raises ModelAway without asking while the breaker is open.
        """
        call = self.breaker.begin()
        if call is None:
            raise ModelAway("The model failed too often just now and is not asked")
        try:
            usage = await self._try(prompt, generation, patience, sink)
        except (ModelMissing, ModelUnwilling):  # a server that says so is well
            self.breaker.abandoned(call)
            raise
        except ModelError:
            self.breaker.failed(call)
            raise
        except BaseException:  # the caller gave up, or wants no more: both say nothing about the model
            self.breaker.abandoned(call)
            raise
        self.breaker.succeeded()
        return usage

    async def _try(self, prompt: Prompt, generation: Generation, patience: Patience, sink: TextSink) -> Usage:
        started = self.clock.monotonic()
        spoke = False

        def watch(piece: str) -> None:
            nonlocal spoke
            spoke = spoke or not piece.isspace()
            sink(piece)

        left = patience.first_token
        for retry in range(MAX_RETRIES + 1):
            try:
                usage = await self.client.generate(prompt, generation, replace(patience, first_token=left), watch)
                if spoke or prompt.said:
                    return usage
                raise ModelBroken("empty")
            except ModelError as error:
                pause = self._pause(retry)
                last = started + patience.first_token - pause
                if spoke or retry == MAX_RETRIES or not await self._worth_retrying(error, last):
                    raise
                left = last - self.clock.monotonic()
                if left <= 0:
                    raise
                log.info("model failed before its first token, trying again", extra={"reason": error.reason})
                await self.sleep(pause)
        raise AssertionError("unreachable: the last try returns or raises")

    def _pause(self, retry: int) -> float:
        return float(self.random.uniform(*RETRY_SECONDS) * 2**retry)

    async def _worth_retrying(self, error: ModelError, last: float) -> bool:
        """Looking for a missing model is part of the time to the first token, which ends at `last` (monotonic)."""
        if not isinstance(error, ModelMissing):
            return not isinstance(error, ModelStalled | ModelUnwilling)
        with suppress(TimeoutError):
            async with asyncio.timeout(last - self.clock.monotonic()):
                return (await self.client.verify()).ok
        return False
