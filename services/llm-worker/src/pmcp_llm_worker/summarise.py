"""Summaries of what lies before the newest turns: an off-path job, one model call at a time, carried on step by step.

Never on the reply path. A model that fails leaves the summary as it was, and the job is tried again: a failure is not
an empty summary. Two jobs over the same turns end in one summary, because the store refuses the second.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from arq import Retry

from pmcp_common.contracts.conversations import SummaryDraft, SummaryTask
from pmcp_common.contracts.errors import CONFLICT, DomainError
from pmcp_common.contracts.memories import Role, Turn
from pmcp_common.peers import ConversationPeer
from pmcp_llm_worker import metrics
from pmcp_llm_worker.model import Generation, Message, ModelBroken, Patience, Prompt
from pmcp_llm_worker.model_retry import RetryingModel
from pmcp_llm_worker.prompt import cut_text, estimate_tokens

log = logging.getLogger(__name__)

SUMMARY_TRIES = 6
FIRST_PAUSE_SECONDS = 5.0
SUMMARY_WORDS = 120
SUMMARY_TOKENS = 240
MAX_SUMMARY_CHARS = 4000
TURN_TOKENS = 200
"""Of one turn, at most: a long one is cut."""
MAX_STEPS = 10
"""Steps of one job; a conversation that is further behind gets another job with its next turn."""
INSTRUCTION = (
    f"You keep notes of a conversation. Write one summary of it in at most {SUMMARY_WORDS} words, in the third person. "
    "Keep names, facts, promises and feelings; leave out greetings. Answer with the summary only."
)


@dataclass(frozen=True, slots=True)
class SummarySizes:
    keep_turns: int = 20
    """The newest turns, which are in the prompt word by word."""
    after_turns: int = 50
    """A shorter conversation is not summarised."""
    batch_turns: int = 10
    """So many must have left the prompt since the last summary."""


@dataclass(frozen=True, slots=True)
class Notes:
    """The prompt of one step, and the last turn it covers."""

    prompt: Prompt
    upto: Turn


def take_notes(task: SummaryTask, budget_tokens: int) -> Notes:
    """As many turns as fit; the first one always."""
    head = f"The summary so far: {task.previous}\n\nThe conversation goes on:" if task.previous else "The conversation:"
    room = budget_tokens - estimate_tokens(INSTRUCTION) - estimate_tokens(head)
    lines: list[str] = []
    for turn in task.turns:
        line = _line(turn)
        room -= estimate_tokens(line) + 1
        if lines and room < 0:
            break
        lines.append(line)
    text = "\n".join([head, *lines])
    return Notes(Prompt((Message("system", INSTRUCTION), Message("user", text))), task.turns[len(lines) - 1])


def _line(turn: Turn) -> str:
    text = " ".join(turn.content.split())
    if estimate_tokens(text) > TURN_TOKENS:
        text = cut_text(text, TURN_TOKENS)
    return f"{'The persona' if turn.role is Role.ASSISTANT else 'The other'}: {text}"


class Summariser:
    def __init__(
        self,
        conversations: ConversationPeer,
        model: RetryingModel,
        generation: Generation,
        patience: Patience,
        sizes: SummarySizes,
    ) -> None:
        self._conversations = conversations
        self._model = model
        self._generation = replace(generation, max_tokens=min(SUMMARY_TOKENS, generation.num_ctx // 4), temperature=0.3)
        self._patience = patience
        self._sizes = sizes

    async def is_due(self, tenant: str, side: Sequence[str]) -> bool:
        """`side`: conversation, persona and player."""
        return bool((await self._task(tenant, side)).turns)

    async def __call__(self, ctx: dict[Any, Any], tenant: str, *side: str) -> None:
        """The arq job."""
        try:
            for _ in range(MAX_STEPS):
                task = await self._task(tenant, side)
                if not task.turns:
                    return
                await self._step(tenant, side[0], task)
                metrics.SUMMARIES.labels("done").inc()
        except DomainError as error:
            self._again(int(ctx.get("job_try", 1)), side[0], error)

    def _again(self, attempt: int, conversation_id: str, error: DomainError) -> None:
        fields = {"conversation": conversation_id, "attempt": attempt, "code": error.code}
        if error.row is CONFLICT:
            log.info("another worker has written this summary", extra=fields)
            return
        if attempt >= SUMMARY_TRIES:
            metrics.SUMMARIES.labels("failed").inc()
            log.error("conversation not summarised: out of tries", extra=fields)
            return
        pause = FIRST_PAUSE_SECONDS * 2 ** (attempt - 1)
        log.warning("conversation not summarised yet", extra={**fields, "retry_seconds": pause})
        raise Retry(defer=pause)

    async def _task(self, tenant: str, side: Sequence[str]) -> SummaryTask:
        sizes = self._sizes
        conversation_id, persona_id, player_id = side
        return await self._conversations.summary_task(
            tenant,
            conversation_id,
            persona_id,
            player_id,
            keep=sizes.keep_turns,
            after=sizes.after_turns,
            batch=sizes.batch_turns,
        )

    async def _step(self, tenant: str, conversation_id: str, task: SummaryTask) -> None:
        notes = take_notes(task, self._generation.num_ctx - self._generation.max_tokens)
        pieces: list[str] = []
        await self._model.generate(notes.prompt, self._generation, self._patience, pieces.append)
        text = "".join(pieces).replace("\x00", "").strip()[:MAX_SUMMARY_CHARS]
        if not text:
            raise ModelBroken("empty")
        draft = SummaryDraft(content=text, after_version=task.version, upto_message_id=notes.upto.message_id)
        await self._conversations.write_summary(tenant, conversation_id, draft)
