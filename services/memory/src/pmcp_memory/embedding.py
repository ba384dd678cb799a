"""Embedding as a port: texts become unit vectors, or a coded error. Never an empty result instead of a
failure.

Adapters: `embedding_minilm` (in this process), `embedding_ollama` (a model server). `embedding_cache`
goes before either.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from enum import IntEnum
from typing import Protocol

from pmcp_common.contracts.errors import MemoryFailed

DIMENSION = 384
"""Of every vector in the store: the column's type says so too."""

Vector = Sequence[float]
"""`DIMENSION` float32 values of Euclidean length 1."""


class EmbeddingFailed(MemoryFailed):
    """No vector could be made; the same call may succeed later."""


def require_sound(vectors: Sequence[Vector], dimension: int) -> None:
    """Raises EmbeddingFailed for a vector of another dimension, or with a value that is no number: it would
    be stored once and spoil every comparison after."""
    for vector in vectors:
        if len(vector) != dimension:
            raise EmbeddingFailed("The embedding model gave another dimension", dimension=len(vector))
        if not all(math.isfinite(value) for value in vector):
            raise EmbeddingFailed("The embedding model gave a vector that is none")


def unit_vector(values: Sequence[float]) -> Vector:
    """Of length 1. Raises EmbeddingFailed for another dimension, ValueError for a vector without direction."""
    if len(values) != DIMENSION:
        raise EmbeddingFailed(
            f"The embedding model gives {len(values)} dimensions, {DIMENSION} are needed", dimension=len(values)
        )
    length = math.sqrt(math.fsum(value * value for value in values))
    if not length > 0 or not math.isfinite(length):
        raise ValueError("a vector without direction")
    return [value / length for value in values]


class Urgency(IntEnum):
    """A query has a player waiting; a store has a job that can wait."""

    QUERY = 0
    STORE = 1


class Embedder(Protocol):
    @property
    def name(self) -> str:
        """Model and build: vectors of different names must not be compared."""
        ...

    @property
    def dimension(self) -> int: ...

    async def embed(self, texts: Sequence[str], urgency: Urgency = Urgency.STORE) -> list[Vector]:
        """One vector a text, in order. All or nothing: raises EmbeddingFailed."""
        ...

    async def close(self) -> None: ...
