"""Embedding as a port: texts become unit vectors, or a coded error. Never an empty result instead of a
failure.

Adapters: `embedding_minilm` (in this process), `embedding_ollama` and `embedding_openai` (a server). Before each of
them goes `embedding_checked`, and `embedding_cache` before that.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from enum import IntEnum
from typing import Protocol

from pmcp_common.contracts.errors import MemoryFailed

MAX_DIMENSION = 16_000
"""What PostgreSQL's `halfvec` holds."""

Vector = Sequence[float]
"""float32 values of Euclidean length 1, as many as the model gives."""


class EmbeddingFailed(MemoryFailed):
    """No vector could be made; the same call may succeed later."""


def require_sound(vectors: Sequence[Vector], dimension: int) -> None:
    """Raises EmbeddingFailed for a vector of another dimension, or with a value that is no number: it would
    be stored once and spoil every comparison after."""
    for vector in vectors:
        if len(vector) != dimension:
            raise EmbeddingFailed(
                f"The embedding model gave {len(vector)} dimensions, the memories of its name have {dimension}",
                dimension=len(vector),
            )
        if not all(math.isfinite(value) for value in vector):
            raise EmbeddingFailed("The embedding model gave a vector that is none")


def unit_vector(values: Sequence[float]) -> Vector:
    """Of length 1. Raises EmbeddingFailed for more dimensions than can be stored, ValueError for a vector without
    direction."""
    if len(values) > MAX_DIMENSION:
        raise EmbeddingFailed(
            f"The embedding model gives {len(values)} dimensions, more than {MAX_DIMENSION}", dimension=len(values)
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

    async def embed(self, texts: Sequence[str], urgency: Urgency = Urgency.STORE) -> list[Vector]:
        """One vector a text, in order. All or nothing: raises EmbeddingFailed."""
        ...

    async def close(self) -> None: ...
