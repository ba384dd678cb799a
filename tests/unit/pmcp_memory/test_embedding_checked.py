"""What no embedder gets past: vectors that are none, too few, or of another dimension than their name has."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest

from pmcp_memory.embedding import EmbeddingFailed, Urgency, Vector
from pmcp_memory.embedding_checked import CheckedEmbedder


class Scripted:
    name = "scripted"

    def __init__(self, *answers: list[Vector]) -> None:
        self.answers = list(answers)

    async def embed(self, texts: Sequence[str], urgency: Urgency = Urgency.STORE) -> list[Vector]:
        return self.answers.pop(0)

    async def close(self) -> None:
        return None


class Book:
    def __init__(self, dimension: int | None = None) -> None:
        self.dimension = dimension
        self.asked = 0

    async def dimension_of(self, name: str, dimension: int) -> int:
        self.asked += 1
        self.dimension = self.dimension or dimension
        return self.dimension


async def test_sound_vectors_pass_and_their_dimension_is_written_down_once() -> None:
    book = Book()
    checked = CheckedEmbedder(Scripted([], [[1.0, 0.0]], [[0.0, 1.0]]), book)
    assert await checked.embed([]) == []
    assert await checked.embed(["a"]) == [[1.0, 0.0]]
    assert await checked.embed(["b"]) == [[0.0, 1.0]]
    assert (book.dimension, book.asked) == (2, 1)


@pytest.mark.parametrize(
    "answer", [[], [[1.0], [1.0]], [[math.nan, 1.0]], [[math.inf, 0.0]]], ids=["too few", "too many", "NaN", "Inf"]
)
async def test_what_is_no_answer_is_a_failure_and_teaches_no_dimension(answer: list[Vector]) -> None:
    book = Book()
    with pytest.raises(EmbeddingFailed):
        await CheckedEmbedder(Scripted(answer), book).embed(["a"])
    assert book.asked == 0


async def test_another_dimension_than_the_name_has_is_a_failure_first_and_later() -> None:
    with pytest.raises(EmbeddingFailed, match="2 dimensions, the memories of its name have 3"):
        await CheckedEmbedder(Scripted([[1.0, 0.0]]), Book(3)).embed(["a"])
    checked = CheckedEmbedder(Scripted([[1.0, 0.0]], [[1.0]]), Book())
    await checked.embed(["a"])
    with pytest.raises(EmbeddingFailed):
        await checked.embed(["a"])
    with pytest.raises(EmbeddingFailed):
        await CheckedEmbedder(Scripted([[1.0], [1.0, 0.0]]), Book()).embed(["a", "b"])
