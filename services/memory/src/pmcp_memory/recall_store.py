"""Recall as one statement (`recall.sql`): what a player may see of a persona's memories, best first, with reasons.

Owns the statement and nothing else; the words of a question are read in `cues`, its weights are `ranking`'s.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib.resources import files

import asyncpg

from pmcp_common.contracts.errors import MemoryFailed
from pmcp_common.contracts.memories import Neighbour, RecalledMemory, Visibility
from pmcp_common.postgres import read_queries
from pmcp_memory.cues import read_question
from pmcp_memory.database import Database
from pmcp_memory.embedding import Vector
from pmcp_memory.ranking import CANDIDATES, PARTS, reasons

log = logging.getLogger(__name__)

_MAX_NAMING_WORDS = 64
_BY_INDEX = "words @@ (SELECT any_word FROM asked)"
# Few memories are read through: in a large table the index of words brings everybody's first.
_READ_THROUGH = f"({_BY_INDEX}) IS TRUE"


@dataclass(frozen=True, slots=True)
class Viewer:
    """For whom is recalled: nothing is visible beyond what these three may see."""

    tenant: str
    persona_id: str
    player_id: str


@dataclass(frozen=True, slots=True)
class Visible:
    """What a viewer may see, as far as a question's reading needs it."""

    memories: int
    speakers: tuple[str, ...]
    analysed: bool = True
    """Without statistics a plan for any question is a guess about an empty table, and kept."""


@dataclass(frozen=True, slots=True)
class Question:
    text: str
    without_names: str
    """What was embedded."""
    vector: Vector
    model: str
    """The vector's: memories with another model's vectors are not compared."""
    asked_at: datetime
    common_words: Sequence[str] = ()
    """Stems said in too many memories to search by."""
    frequent_words: Sequence[str] = ()
    """Stems that many memories say, the most frequent last: of many words the rarest are searched by."""
    few_memories: bool = False
    """Of the viewer: so few that reading all of them is quicker than an index."""
    lasting_plan: bool = True
    """There are statistics for a plan that serves any question about few memories."""


@dataclass(frozen=True, slots=True)
class RecallFilter:
    memory_type: str | None = None
    min_importance: float = 0.0
    without_sources: Sequence[str] = ()
    """Message ids: memories made of these are left out."""
    as_of: datetime | None = None
    """Only what had happened by then."""
    limit: int = 5


class RecallStore:
    def __init__(self, database: Database) -> None:
        self._database = database
        self._queries = read_queries(files("pmcp_memory") / "recall.sql")
        self._statements: dict[tuple[int, bool], str] = {}

    async def recall(self, viewer: Viewer, question: Question, wanted: RecallFilter) -> tuple[RecalledMemory, ...]:
        """Best first. Raises MemoryFailed when the search itself does not work."""
        asked = read_question(question.text)
        naming = re.findall(r"\w+", question.text.lower())[:_MAX_NAMING_WORDS]
        # A plan for any player serves few memories well; that of a large memory has to know of its index.
        lasting = question.few_memories and question.lasting_plan
        fetch = self._database.fetch if lasting else self._database.fetch_planned_anew
        try:
            rows = await fetch(
                self._statement(len(question.vector), question.few_memories),
                viewer.tenant,
                viewer.persona_id,
                viewer.player_id,
                question.vector,
                question.model,
                question.text,
                question.without_names,
                list(question.common_words),
                list(asked.months),
                list(asked.years),
                list(asked.sides),
                naming,
                int(asked.cues),
                question.asked_at,
                list(PARTS.values()),
                max(CANDIDATES, wanted.limit),
                wanted.memory_type,
                wanted.min_importance,
                list(wanted.without_sources),
                wanted.as_of,
                wanted.limit,
                list(question.frequent_words),
            )
        except asyncpg.PostgresError as error:
            log.exception("recall failed")
            raise MemoryFailed("The memories could not be searched") from error
        return tuple(_recalled(row) for row in rows)

    def _statement(self, dimension: int, few_memories: bool) -> str:
        """One text for each dimension and way to search: a driver that knows a text has its plan as well."""
        key = dimension, few_memories
        if key not in self._statements:
            matches = _READ_THROUGH if few_memories else _BY_INDEX
            text = self._queries["recall_memories"].replace(":dimension", str(int(dimension)))
            self._statements[key] = text.replace(":matches", matches)
        return self._statements[key]

    async def anything_beyond(self, viewer: Viewer, sources: Sequence[str]) -> bool:
        """Whether there is a memory that was not made of these messages: without one, recall finds nothing."""
        query = self._queries["anything_beyond"]
        ((found,),) = await self._database.fetch(
            query, viewer.tenant, viewer.persona_id, viewer.player_id, list(sources)
        )
        return bool(found)

    async def describe(self, viewer: Viewer) -> Visible:
        (row,) = await self._database.fetch(
            self._queries["describe_visible"], viewer.tenant, viewer.persona_id, viewer.player_id
        )
        return Visible(row["memories"], tuple(row["speakers"]), row["analysed"])

    async def word_shares(self) -> Mapping[str, float]:
        """Stem → share of all memories that say it; only those of at least 1 %."""
        rows = await self._database.fetch(self._queries["common_words"])
        return {row["word"]: row["share"] for row in rows}


def _recalled(row: asyncpg.Record) -> RecalledMemory:
    return RecalledMemory.model_construct(
        id=row["id"],
        content=row["content"],
        memory_type=row["memory_type"],
        importance=round(row["importance"], 4),
        emotional_valence=round(row["emotional_valence"], 4),
        related_personas=tuple(row["related_personas"]),
        visibility=Visibility(row["visibility"]),
        created_at=row["created_at"],
        accessed_count=row["accessed_count"],
        similarity=round(row["cosine"], 6),
        speaker=row["speaker"],
        occurred_at=row["occurred_at"],
        source_message_ids=tuple(row["source_message_ids"]),
        score=round(row["score"], 6),
        reasons={name: round(value, 6) for name, value in reasons({name: float(row[name]) for name in PARTS}).items()},
        neighbours=tuple(Neighbour.model_construct(**one) for one in row["neighbours"]),
    )
