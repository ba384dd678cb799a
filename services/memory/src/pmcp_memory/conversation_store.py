"""Conversations in Postgres: read back in exchanges, summarised step by step, forgotten whole.

Owns its statements (`conversations.sql`). Whoever asks names tenant, conversation, persona and player: a wrong
conversation id shows nothing instead of another's words.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib.resources import files

import asyncpg

from pmcp_common.contracts.conversations import (
    MAX_TURNS_TO_SUMMARISE,
    ConversationFacts,
    Exchange,
    ExchangePage,
    Forgotten,
    SummaryDraft,
    SummaryTask,
)
from pmcp_common.contracts.errors import Conflict, NotFound
from pmcp_common.contracts.memories import Turn
from pmcp_common.postgres import read_queries
from pmcp_memory.database import Database
from pmcp_memory.world import forget_everything, hold_world


@dataclass(frozen=True, slots=True)
class Side:
    """One conversation and the two it belongs to."""

    conversation_id: str
    persona_id: str
    player_id: str

    @property
    def columns(self) -> tuple[str, str, str]:
        return self.conversation_id, self.persona_id, self.player_id


class ConversationStore:
    def __init__(self, database: Database) -> None:
        self._database = database
        self._queries = read_queries(files("pmcp_memory") / "conversations.sql")

    async def exchanges(self, tenant: str, side: Side, limit: int, before_id: str | None) -> ExchangePage:
        """The newest `limit`, or those before a message. Raises NotFound for a message that is not in it."""
        if before_id is not None and not await self._fetch("has_message", tenant, *side.columns, before_id):
            raise NotFound("No message of this conversation has this id", before_id=before_id)
        rows = await self._fetch("exchanges", tenant, *side.columns, before_id, limit + 1)
        page = [Exchange(**dict(row)) for row in reversed(rows[:limit])]
        return ExchangePage(exchanges=tuple(page), has_more=len(rows) > limit)

    async def facts(self, tenant: str, side: Side) -> ConversationFacts:
        rows = await self._fetch("facts", tenant, *side.columns)
        return ConversationFacts(**dict(rows[0]))

    async def summary_task(self, tenant: str, side: Side, *, keep: int, after: int, batch: int) -> SummaryTask:
        """Due when the conversation has more than `after` turns and at least `batch` of those before the newest
        `keep` are in no summary yet."""
        found = await self._fetch("summary", tenant, *side.columns)
        previous, version, position = (
            (found[0]["content"], found[0]["version"], found[0]["upto_position"]) if found else (None, 0, -1)
        )
        nothing = SummaryTask(previous=previous, version=version, turns=())
        counted = await self._fetch("count_turns", tenant, *side.columns, after + 1)
        if counted[0]["turns"] <= after:
            return nothing
        rows = await self._fetch("turns_after", tenant, *side.columns, position, keep, MAX_TURNS_TO_SUMMARISE)
        if len(rows) < batch:
            return nothing
        return SummaryTask(previous=previous, version=version, turns=tuple(Turn(**dict(row)) for row in rows))

    async def write_summary(self, tenant: str, conversation_id: str, draft: SummaryDraft, now: datetime) -> int:
        """The new version. Raises Conflict when another summary was written meanwhile."""
        rows = await self._fetch(
            "write_summary", tenant, conversation_id, draft.content, draft.after_version, draft.upto_message_id, now
        )
        if not rows:
            raise Conflict("Another summary was written meanwhile, or the turn is not of this conversation")
        version: int = rows[0]["version"]
        return version

    async def forget(self, tenant: str, player_id: str) -> Forgotten:
        """All that was said and remembered of a player, with every persona, in every save, and what waits for its
        answer, in one transaction."""
        async with self._database.connection() as connection, connection.transaction():
            await hold_world(connection, tenant, player_id)
            turns = await connection.fetch(self._queries["forget_turns"], tenant, player_id)
            memories = await connection.fetch(self._queries["forget_memories"], tenant, player_id)
            # After the memories: what a save holds is put away when it is deleted.
            said, made = await forget_everything(connection, tenant, player_id)
            said |= {turn["message_id"] for turn in turns}
            made |= {memory["id"] for memory in memories}
            await connection.execute(self._queries["forget_sources"], tenant, sorted(said))
            await connection.execute(self._queries["forget_summaries"], tenant, player_id)
            await connection.execute(self._queries["forget_jobs"], tenant, player_id)
            await connection.execute(self._queries["forget_prunings"], tenant, player_id)
        return Forgotten(turns=len(said), memories=len(made))

    async def _fetch(self, query: str, *arguments: object) -> Sequence[asyncpg.Record]:
        return await self._database.fetch(self._queries[query], *arguments)
