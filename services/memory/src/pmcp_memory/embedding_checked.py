"""Before any embedder: what it gives is sound, and of the one dimension that vectors of its name have.

Whatever is stored or searched by has passed here, so vectors of one name can be compared with each other, whoever made
them. The dimension of a name is written down once, in the database, where all replicas see it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from pmcp_memory.embedding import Embedder, EmbeddingFailed, Urgency, Vector, require_sound


class ModelNames(Protocol):
    async def dimension_of(self, name: str, dimension: int) -> int:
        """Of the vectors of this model; `dimension` when it is seen for the first time."""
        ...


class CheckedEmbedder:
    def __init__(self, inner: Embedder, names: ModelNames) -> None:
        self._inner = inner
        self._names = names
        self._dimension: int | None = None

    @property
    def name(self) -> str:
        return self._inner.name

    async def embed(self, texts: Sequence[str], urgency: Urgency = Urgency.STORE) -> list[Vector]:
        """Also raises EmbeddingFailed for a vector that is none, or of another dimension than its name has."""
        vectors = await self._inner.embed(texts, urgency)
        if len(vectors) != len(texts):
            raise EmbeddingFailed("The embedding model gave another number of vectors", vectors=len(vectors))
        if vectors:
            require_sound(vectors, self._dimension or len(vectors[0]))
            if self._dimension is None:
                # Sound already: nonsense is not written down as the dimension of a name.
                dimension = await self._names.dimension_of(self.name, len(vectors[0]))
                require_sound(vectors, dimension)
                self._dimension = dimension
        return vectors

    async def close(self) -> None:
        await self._inner.close()
