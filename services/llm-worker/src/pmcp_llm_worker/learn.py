"""Learning from conversations: an off-path job, one model call for some turns, within a budget. Off unless switched on.

Never while replies wait. The turns stay to be learned from until an answer of the model is kept: a failure, an
unreadable answer or a spent budget puts the job off, and only a model that says so found nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from arq import Retry

from pmcp_common.contracts.errors import CONFLICT, DomainError
from pmcp_common.contracts.learning import LearningDraft, LearningTask, digest_of
from pmcp_common.peers import LearningPeer
from pmcp_llm_worker import metrics
from pmcp_llm_worker.lessons import ask_about, read_lessons
from pmcp_llm_worker.model import Generation, Patience
from pmcp_llm_worker.model_retry import RetryingModel

log = logging.getLogger(__name__)

LEARNING_TRIES = 6
"""Failures in a row of one conversation; from then on only its next turn brings another try, one each."""
FIRST_PAUSE_SECONDS = 5.0
BUSY_PAUSE_SECONDS = 5.0
NEXT_STEP_SECONDS = 1.0
LEARNING_TOKENS = 400


class LearningBook(Protocol):
    """What all workers share. Adapter: `learning_book_redis`."""

    async def take_call(self, tenant: str) -> float:
        """0: one call of the tenant's budget was taken; else seconds until there is budget again."""
        ...

    async def failed(self, tenant: str, conversation_id: str) -> int:
        """How often in a row now."""
        ...

    async def succeeded(self, tenant: str, conversation_id: str) -> None: ...


@dataclass(frozen=True, slots=True)
class LearningRules:
    model: str
    after_turns: int = 10
    """So many turns from which nothing was learned make a job."""
    first_pause_seconds: float = FIRST_PAUSE_SECONDS
    busy_pause_seconds: float = BUSY_PAUSE_SECONDS


class Learner:
    def __init__(
        self,
        memory: LearningPeer,
        book: LearningBook,
        model: RetryingModel,
        generation: Generation,
        patience: Patience,
        rules: LearningRules,
        replies_wait: Callable[[], Awaitable[bool]],
    ) -> None:
        self._memory = memory
        self._book = book
        self._model = model
        self._generation = replace(
            generation, max_tokens=min(LEARNING_TOKENS, generation.num_ctx // 4), temperature=0.0
        )
        self._patience = patience
        self._rules = rules
        self._replies_wait = replies_wait

    async def is_due(self, tenant: str, side: Sequence[str]) -> bool:
        """`side`: conversation, persona and player."""
        return bool((await self._task(tenant, side)).turns)

    async def __call__(self, ctx: dict[Any, Any], tenant: str, *side: str) -> None:
        """The arq job: one step, then again while there is more."""
        try:
            task = await self._task(tenant, side)
            if not task.turns:
                return
            await self._begin(tenant, side[0])
            stored = await self._step(tenant, side, task)
            await self._book.succeeded(tenant, side[0])
        except DomainError as error:
            await self._again(tenant, side[0], error)
            return
        metrics.LEARNING.labels("done" if stored else "nothing").inc()
        raise Retry(defer=NEXT_STEP_SECONDS)

    async def _begin(self, tenant: str, conversation_id: str) -> None:
        """Raises Retry while the model is wanted for replies, or the budget is spent."""
        if await self._replies_wait():
            metrics.LEARNING.labels("put_off").inc()
            raise Retry(defer=self._rules.busy_pause_seconds)
        wait = await self._book.take_call(tenant)
        if wait > 0:
            metrics.LEARNING.labels("over_budget").inc()
            fields = {"conversation": conversation_id, "retry_seconds": round(wait)}
            log.warning("not learned from a conversation yet: the budget is spent", extra=fields)
            raise Retry(defer=wait)

    async def _step(self, tenant: str, side: Sequence[str], task: LearningTask) -> int:
        asking = ask_about(task.turns, self._generation.num_ctx - self._generation.max_tokens)
        pieces: list[str] = []
        usage = await self._model.generate(asking.prompt, self._generation, self._patience, pieces.append)
        lessons = read_lessons("".join(pieces), cut=usage.finish_reason == "length")
        conversation_id, persona_id, player_id = side
        draft = LearningDraft(
            persona_id=persona_id,
            player_id=player_id,
            message_ids=tuple(turn.message_id for turn in asking.turns),
            digest=digest_of((turn.message_id, turn.content) for turn in asking.turns),
            model=self._rules.model,
            lessons=lessons,
        )
        return await self._memory.learn(tenant, conversation_id, draft)

    async def _task(self, tenant: str, side: Sequence[str]) -> LearningTask:
        conversation_id, persona_id, player_id = side
        return await self._memory.learning_task(
            tenant, conversation_id, persona_id, player_id, batch=self._rules.after_turns
        )

    async def _again(self, tenant: str, conversation_id: str, error: DomainError) -> None:
        """Raises Retry, unless it failed too often."""
        fields = {"conversation": conversation_id, "code": error.code, "reason": getattr(error, "reason", "")}
        if error.row is CONFLICT:
            log.info("turns to learn from changed meanwhile, reading them again", extra=fields)
            raise Retry(defer=self._rules.first_pause_seconds)
        failures = await self._book.failed(tenant, conversation_id)
        if failures >= LEARNING_TRIES:
            metrics.LEARNING.labels("failed").inc()
            log.error("not learned from a conversation: out of tries", extra={**fields, "attempt": failures})
            return
        metrics.LEARNING.labels("retried").inc()
        pause = self._rules.first_pause_seconds * 2 ** (failures - 1)
        log.warning(
            "not learned from a conversation yet", extra={**fields, "attempt": failures, "retry_seconds": pause}
        )
        raise Retry(defer=pause)
