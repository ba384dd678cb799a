"""What others rank by, on the same turns: PostgreSQL's two full text ranks, BM25, cosine alone, the usual RRF hybrid.

Each sees a turn as "speaker: text" and a question as it is asked, its words OR-ed for the word ranks.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence

import asyncpg
import numpy as np
import numpy.typing as npt

from bench.memory.dialogues import Dialogue
from pmcp_memory.embedding import Embedder, Urgency

RANKED = 100
RRF_K = 60
"""Cormack, Clarke & Büttcher 2009."""
_BM25_K1, _BM25_B = 1.2, 0.75

_RANK = """
WITH asked AS (
    SELECT string_agg(quote_literal(lexeme), ' | ')::tsquery AS query
    FROM unnest(to_tsvector('english', $1)) AS words
)
SELECT id FROM bench_turns, asked WHERE words @@ query ORDER BY {function}(words, query) DESC, place LIMIT 100
"""

Rankings = Mapping[str, Sequence[str]]
"""System → turn ids, best first."""


class Baselines:
    def __init__(self, connection: asyncpg.Connection, embedder: Embedder) -> None:
        self._connection = connection
        self._embedder = embedder
        self._ids: list[str] = []
        self._vectors: npt.NDArray[np.float32] = np.zeros((0, 1), np.float32)
        self._bm25 = Bm25([])

    async def load(self, dialogue: Dialogue) -> None:
        texts = [f"{turn.speaker}: {turn.text}" for turn in dialogue.turns]
        self._ids = [turn.id for turn in dialogue.turns]
        self._vectors = np.array(await self._embedder.embed(texts), np.float32)
        await self._connection.execute(
            "DROP TABLE IF EXISTS bench_turns; CREATE TABLE bench_turns (id text, place integer, words tsvector)"
        )
        await self._connection.executemany(
            "INSERT INTO bench_turns VALUES ($1, $2, to_tsvector('english', $3))",
            [(turn.id, place, text) for place, (turn, text) in enumerate(zip(dialogue.turns, texts, strict=True))],
        )
        self._bm25 = Bm25([await self._stems(text) for text in texts])

    async def rank(self, query: str) -> Rankings:
        (vector,) = await self._embedder.embed([query], Urgency.QUERY)
        dense = self._best(self._vectors @ np.array(vector, np.float32))
        cover_density = [row["id"] for row in await self._connection.fetch(_RANK.format(function="ts_rank_cd"), query)]
        frequency = [row["id"] for row in await self._connection.fetch(_RANK.format(function="ts_rank"), query)]
        return {
            "PostgreSQL ts_rank_cd": cover_density,
            "PostgreSQL ts_rank": frequency,
            "BM25": self._best(self._bm25.scores(await self._stems(query))),
            "all-MiniLM-L6-v2, cosine": dense,
            "RRF of cosine and ts_rank_cd": fuse([dense, cover_density]),
        }

    def _best(self, scores: npt.NDArray[np.float32]) -> list[str]:
        return [self._ids[place] for place in np.argsort(-scores, kind="stable")[:RANKED]]

    async def _stems(self, text: str) -> list[str]:
        """With repetitions, as PostgreSQL stems and drops stop words."""
        words = " ".join(re.findall(r"\w+", text))
        stems = await self._connection.fetchval(
            "SELECT array_agg(lexeme ORDER BY place) AS stems"
            " FROM unnest(to_tsvector('english', $1)) AS w, unnest(positions) AS place",
            words,
        )
        return list(stems or [])


class Bm25:
    """Robertson & Zaragoza 2009, over texts as lists of stems."""

    def __init__(self, texts: Sequence[Sequence[str]]) -> None:
        self._counts = [Counter(text) for text in texts]
        self._lengths = [len(text) for text in texts]
        self._mean_length = sum(self._lengths) / max(len(texts), 1) or 1.0
        self._found = Counter(word for counts in self._counts for word in counts)

    def scores(self, query: Sequence[str]) -> npt.NDArray[np.float32]:
        total = len(self._counts)
        weights = {
            word: math.log(1 + (total - self._found[word] + 0.5) / (self._found[word] + 0.5)) for word in set(query)
        }
        return np.array([self._score(place, weights) for place in range(total)], np.float32)

    def _score(self, place: int, weights: Mapping[str, float]) -> float:
        counts = self._counts[place]
        norm = _BM25_K1 * (1 - _BM25_B + _BM25_B * self._lengths[place] / self._mean_length)
        return math.fsum(
            weight * counts[word] * (_BM25_K1 + 1) / (counts[word] + norm)
            for word, weight in weights.items()
            if word in counts
        )


def fuse(rankings: Sequence[Sequence[str]]) -> list[str]:
    """Reciprocal rank fusion."""
    scores: Counter[str] = Counter()
    for ranking in rankings:
        for rank, turn in enumerate(ranking, start=1):
            scores[turn] += 1 / (RRF_K + rank)  # type: ignore[assignment]  # Counter counts floats as well
    return [turn for turn, _ in sorted(scores.items(), key=lambda entry: -entry[1])][:RANKED]
