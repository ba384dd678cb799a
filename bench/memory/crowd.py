"""Many memories, made fast: vectors scattered around real ones, texts recombined from our own dialogues.

Word frequencies follow the dialogues' (so a common word is in some 10 % of the memories, as in real chat), vectors
stand about as far apart as real ones. They go into the table by COPY: what writing costs is measured elsewhere.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import asyncpg
import numpy as np
import numpy.typing as npt

from bench.memory.dialogues import Dialogue
from bench.memory.engine import PLAYER, TENANT
from pmcp_common.postgres import encode_vector

EPISODE_TURNS = 40
_NOISE = 0.7
"""Length of the random part beside a real unit vector: cosine to it about 0.8."""
_BATCH = 5_000
_START = datetime(2024, 1, 1, tzinfo=UTC)

_STAGE = """
CREATE TEMP TABLE IF NOT EXISTS stage (
    id text, persona_id text, content text, embedding public.vector, at timestamptz, thread_id text,
    ordinal integer, episode integer, said_by text, cues integer
)
"""
_MOVE = """
INSERT INTO memory.memories (
    tenant_id, id, persona_id, player_id, content, memory_type, embedding, embedding_model, occurred_at, thread_id,
    ordinal, episode, said_by, cues, initial_importance, words
)
SELECT
    $1, id, persona_id, $2, content, 'user_input', embedding::halfvec, $3, at, thread_id, ordinal, episode, said_by,
    cues, 0.5, memory.words_of('', content, at, NULL)
FROM stage
"""


@dataclass(frozen=True, slots=True)
class Material:
    """What memories are made of."""

    words: Sequence[Sequence[str]]
    """Of each real text."""
    vectors: npt.NDArray[np.float32]

    @property
    def dimension(self) -> int:
        """The model's."""
        return int(self.vectors.shape[1])


def material_of(dialogues: Sequence[Dialogue], vectors: Sequence[Sequence[float]]) -> Material:
    words = [turn.text.split() for dialogue in dialogues for turn in dialogue.turns]
    return Material(words, np.array(vectors, np.float32))


async def add_crowd(
    connection: asyncpg.Connection, material: Material, persona_id: str, count: int, model: str, seed: int
) -> None:
    await connection.execute(_STAGE)
    rows = _rows(material, persona_id, count, seed)
    while batch := list(itertools.islice(rows, _BATCH)):
        await connection.execute("TRUNCATE stage")
        await connection.copy_records_to_table("stage", records=batch)
        await connection.execute(_MOVE, TENANT, PLAYER, model)


def _rows(material: Material, persona_id: str, count: int, seed: int) -> Iterator[tuple[object, ...]]:
    chance = random.Random(seed)
    numbers = np.random.default_rng(seed)
    for number in range(count):
        vector = _scatter(material.vectors[chance.randrange(len(material.vectors))], numbers)
        yield (
            f"{persona_id}-{number}",
            persona_id,
            _mix(material.words, chance),
            encode_vector(vector.tolist()),
            _START + timedelta(minutes=number),
            f"thread-{persona_id}",
            number,
            number // EPISODE_TURNS,
            "player" if number % 2 else "persona",
            chance.randrange(16),
        )


def _scatter(vector: npt.NDArray[np.float32], numbers: np.random.Generator) -> npt.NDArray[np.float32]:
    noise = numbers.standard_normal(len(vector)).astype(np.float32)
    moved = vector + noise * (_NOISE / np.linalg.norm(noise))
    return np.asarray(moved / np.linalg.norm(moved), np.float32)


def mixed_text(material: Material, seed: int) -> str:
    return _mix(material.words, random.Random(seed))


def _mix(words: Sequence[Sequence[str]], chance: random.Random) -> str:
    """Half of one text and half of another: the words of both, the number of words of one."""
    one, other = chance.choice(words), chance.choice(words)
    return " ".join([*one[: (len(one) + 1) // 2], *other[len(other) // 2 :]])
