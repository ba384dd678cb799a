"""The recipe this engine began with: six terms over the hundred nearest and the hundred best by words. A floor.

0.6 cosine + 0.4 ts_rank, each 0..1 over the candidates; + 0.15 when the speaker is named; + 0.2 when the month or year
is; + 0.5 times the mean of the session's three best; - 0.08 when the turn is a question itself.
"""

from __future__ import annotations

import asyncpg
import numpy as np
import numpy.typing as npt

from bench.memory.dialogues import Dialogue, Said
from pmcp_memory.cues import last_question, read_question, without_names
from pmcp_memory.embedding import Embedder, Urgency
from pmcp_memory.placing import text_to_embed

CANDIDATES = 100

_RANK = """
WITH asked AS (
    SELECT string_agg(quote_literal(lexeme), ' | ')::tsquery AS query
    FROM unnest(to_tsvector('english', $1)) AS words
)
SELECT place, coalesce(ts_rank(words, query), 0) AS rank FROM recipe_turns, asked ORDER BY rank DESC, place
"""

Floats = npt.NDArray[np.float64]


class Recipe:
    def __init__(self, connection: asyncpg.Connection, embedder: Embedder) -> None:
        self._connection = connection
        self._embedder = embedder
        self._dialogue = Dialogue("", ("", ""), [], [])
        self._vectors: Floats = np.zeros((0, 1))

    async def load(self, dialogue: Dialogue) -> None:
        self._dialogue = dialogue
        lead_ins = [
            _lead_in(before, turn) for before, turn in zip([None, *dialogue.turns], dialogue.turns, strict=False)
        ]
        texts = [text_to_embed(lead_in, turn.text) for lead_in, turn in zip(lead_ins, dialogue.turns, strict=True)]
        self._vectors = np.array(await self._embedder.embed(texts))
        await self._connection.execute(
            "DROP TABLE IF EXISTS recipe_turns; CREATE TABLE recipe_turns (place integer, words tsvector)"
        )
        await self._connection.executemany(
            "INSERT INTO recipe_turns VALUES ($1, memory.words_of($2, $3, $4, $5))",
            [
                (place, lead_in, turn.text, turn.at, turn.speaker)
                for place, (lead_in, turn) in enumerate(zip(lead_ins, dialogue.turns, strict=True))
            ],
        )

    async def rank(self, query: str) -> list[str]:
        """Turn ids, best first."""
        text = without_names(query, self._dialogue.speakers)
        (vector,) = await self._embedder.embed([text], Urgency.QUERY)
        cosines = self._vectors @ np.array(vector)
        rows = await self._connection.fetch(_RANK, query)
        words = np.zeros(len(cosines))
        words[[row["place"] for row in rows]] = [row["rank"] for row in rows]
        by_words = [row["place"] for row in rows[:CANDIDATES] if row["rank"] > 0]
        places = np.array(sorted({*np.argsort(-cosines)[:CANDIDATES].tolist(), *by_words}))
        turns = [self._dialogue.turns[place] for place in places]
        scores = 0.6 * _scaled(cosines[places]) + 0.4 * _scaled(words[places]) + _named(turns, query)
        scores += 0.5 * _of_session(scores, turns)
        scores -= 0.08 * np.array([turn.text.rstrip().endswith("?") for turn in turns])
        return [turns[place].id for place in np.argsort(-scores, kind="stable")]


def _lead_in(before: Said | None, turn: Said) -> str:
    return last_question(before.text) if before is not None and before.session == turn.session else ""


def _scaled(values: Floats) -> Floats:
    low, high = values.min(), values.max()
    return np.asarray((values - low) / max(high - low, 1e-9))


def _named(turns: list[Said], query: str) -> Floats:
    asked, words = read_question(query), query.lower()
    speaker = np.array([turn.speaker.lower() in words for turn in turns], float)
    month = np.array([not asked.months or turn.at.month in asked.months for turn in turns])
    year = np.array([not asked.years or turn.at.year in asked.years for turn in turns])
    dated = (month & year) if asked.months or asked.years else np.zeros(len(turns))
    return np.asarray(0.15 * speaker + 0.2 * dated)


def _of_session(scores: Floats, turns: list[Said]) -> Floats:
    """Mean of the three best of each turn's session."""
    best: dict[int, list[float]] = {}
    for score, turn in zip(scores.tolist(), turns, strict=True):
        best.setdefault(turn.session, []).append(score)
    means = {session: float(np.mean(sorted(found, reverse=True)[:3])) for session, found in best.items()}
    return np.array([means[turn.session] for turn in turns])
