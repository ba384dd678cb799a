"""A text is embedded once while it is remembered."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from pmcp_memory.embedding import EmbeddingFailed, Urgency, Vector
from pmcp_memory.embedding_cache import CachedEmbedder


class CountingEmbedder:
    name = "counting"

    def __init__(self) -> None:
        self.asked: list[list[str]] = []
        self.broken = False

    async def embed(self, texts: Sequence[str], urgency: Urgency = Urgency.STORE) -> list[Vector]:
        self.asked.append(list(texts))
        if self.broken:
            raise EmbeddingFailed("broken")
        return [[float(len(text))] for text in texts]

    async def close(self) -> None:
        return None


async def test_only_unknown_texts_are_embedded_and_the_order_is_kept() -> None:
    inner = CountingEmbedder()
    cached = CachedEmbedder(inner)
    await cached.embed(["bb"])
    vectors = await cached.embed(["a", "bb", "ccc", "a"])
    assert [vector[0] for vector in vectors] == [1, 2, 3, 1]
    assert inner.asked == [["bb"], ["a", "ccc"]]


async def test_the_least_recently_used_goes_first() -> None:
    inner = CountingEmbedder()
    cached = CachedEmbedder(inner, max_entries=2)
    for text in ("a", "bb", "a", "ccc", "a", "bb"):
        await cached.embed([text])
    assert inner.asked == [["a"], ["bb"], ["ccc"], ["bb"]]


async def test_more_texts_than_entries_are_all_answered() -> None:
    cached = CachedEmbedder(CountingEmbedder(), max_entries=1)
    assert [vector[0] for vector in await cached.embed(["a", "bb", "ccc"])] == [1, 2, 3]


async def test_a_failure_is_not_remembered() -> None:
    inner = CountingEmbedder()
    cached = CachedEmbedder(inner)
    inner.broken = True
    with pytest.raises(EmbeddingFailed):
        await cached.embed(["a"])
    inner.broken = False
    assert [vector[0] for vector in await cached.embed(["a"])] == [1]
