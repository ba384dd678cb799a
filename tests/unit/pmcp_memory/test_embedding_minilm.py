"""The built graph against a plain float32 forward pass, and the two lanes."""

from __future__ import annotations

import asyncio
import math
import threading
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer

from pmcp_memory.embedding import EmbeddingFailed, Urgency, Vector
from pmcp_memory.embedding_minilm import (
    MAX_TOKENS,
    MiniLmEmbedder,
    MiniLmEncoder,
    prepare_graph,
    weights_directory,
)
from pmcp_memory.minilm_graph import HEADS, LAYERS, WIDTH, Float32, read_safetensors

TEXTS = [
    "Hello, who are you?",
    "What did I just ask you?",
    "ok",
    "I love sailing on the cold northern sea with my brother.",
    "The bard sang of dragons and lost kings while the tavern slept, and nobody remembered the words.",
    "Mein Hund heißt Rex 🐕, 我的狗",
    "word " * 400,
]


class Reference:
    """BERT in float32, one text at a time, as its paper has it."""

    def __init__(self, files: Path) -> None:
        self._weights: Mapping[str, Float32] = read_safetensors(files / "model.safetensors")
        self._tokenizer = Tokenizer.from_file(str(files / "tokenizer.json"))
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(MAX_TOKENS)

    def encode(self, text: str) -> Float32:
        ids = self._tokenizer.encode(text).ids
        hidden = (
            self._weights["embeddings.word_embeddings.weight"][ids]
            + self._weights["embeddings.position_embeddings.weight"][: len(ids)]
            + self._weights["embeddings.token_type_embeddings.weight"][0]
        )
        hidden = self._normalise("embeddings.LayerNorm", hidden)
        for layer in range(LAYERS):
            hidden = self._layer(f"encoder.layer.{layer}.", hidden)
        mean = hidden.mean(axis=0)
        return np.asarray(mean / np.linalg.norm(mean), np.float32)

    def _layer(self, prefix: str, hidden: Float32) -> Float32:
        shape = (len(hidden), HEADS, WIDTH // HEADS)
        query, key, value = (
            self._linear(f"{prefix}attention.self.{name}", hidden).reshape(shape).transpose(1, 0, 2)
            for name in ("query", "key", "value")
        )
        scores = np.exp(query @ key.transpose(0, 2, 1) / math.sqrt(WIDTH // HEADS))
        attended = (scores / scores.sum(axis=-1, keepdims=True)) @ value
        joined = attended.transpose(1, 0, 2).reshape(len(hidden), WIDTH)
        output = f"{prefix}attention.output"
        hidden = self._normalise(f"{output}.LayerNorm", hidden + self._linear(f"{output}.dense", joined))
        inner = self._linear(f"{prefix}intermediate.dense", hidden)
        inner = inner * (0.5 * (1 + np.vectorize(math.erf)(inner / math.sqrt(2)))).astype(np.float32)
        outer = self._linear(f"{prefix}output.dense", inner)
        return self._normalise(f"{prefix}output.LayerNorm", hidden + outer)

    def _linear(self, name: str, source: Float32) -> Float32:
        return np.asarray(source @ self._weights[f"{name}.weight"].T + self._weights[f"{name}.bias"], np.float32)

    def _normalise(self, name: str, source: Float32) -> Float32:
        centred = source - source.mean(axis=-1, keepdims=True)
        scaled = centred / np.sqrt((centred**2).mean(axis=-1, keepdims=True) + 1e-12)
        return np.asarray(scaled * self._weights[f"{name}.weight"] + self._weights[f"{name}.bias"], np.float32)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="module")
def encoder(cache: Path) -> MiniLmEncoder:
    files = weights_directory()
    return MiniLmEncoder(prepare_graph(files / "model.safetensors", cache), files / "tokenizer.json")


@pytest.mark.parametrize("text", TEXTS, ids=lambda text: text[:20])
def test_a_vector_points_where_the_full_model_points(encoder: MiniLmEncoder, text: str) -> None:
    vector = np.array(encoder.encode(text))
    assert vector.shape == (384,)
    assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-4)
    assert float(vector @ Reference(weights_directory()).encode(text)) >= 0.98


def test_texts_alike_in_meaning_are_near(encoder: MiniLmEncoder) -> None:
    question, answer, other = (
        np.array(encoder.encode(text))
        for text in ("What is my dog called?", "My dog's name is Rex.", "The harbour tax rose again.")
    )
    assert question @ answer > question @ other + 0.3


def test_the_same_text_has_the_same_vector_always(encoder: MiniLmEncoder) -> None:
    assert encoder.encode(TEXTS[0]) == encoder.encode(TEXTS[0])


@pytest.mark.parametrize("text", [" ", "\n", "\x01", "🐕" * 8000, "x" * 32_768, "é " * 10_000])
def test_odd_and_huge_texts_have_vectors_too(encoder: MiniLmEncoder, text: str) -> None:
    assert np.linalg.norm(encoder.encode(text)) == pytest.approx(1, abs=1e-4)


def test_the_graph_is_built_once(encoder: MiniLmEncoder, cache: Path) -> None:
    (built,) = cache.iterdir()
    stamp = built.stat().st_mtime_ns
    assert prepare_graph(weights_directory() / "model.safetensors", cache) == built
    assert built.stat().st_mtime_ns == stamp


async def test_a_query_does_not_wait_for_stores() -> None:
    release = threading.Event()

    def encode(text: str) -> Vector:
        if text == "store":
            assert release.wait(5)
        return [1.0]

    embedder = MiniLmEmbedder(encode)
    stores = asyncio.create_task(embedder.embed(["store"] * 3, Urgency.STORE))
    async with asyncio.timeout(5):
        assert await embedder.embed(["query"], Urgency.QUERY) == [[1.0]]
        assert not stores.done()
        release.set()
        assert await stores == [[1.0]] * 3
        await embedder.close()


async def test_a_failing_model_is_an_embedding_failure(caplog: pytest.LogCaptureFixture) -> None:
    def encode(text: str) -> Vector:
        raise RuntimeError("the runtime's own words")

    embedder = MiniLmEmbedder(encode)
    with pytest.raises(EmbeddingFailed, match="The embedding model failed"):
        await embedder.embed(["a", "b"])
    await embedder.close()
