"""The embedder of a model server: Ollama's `/api/embed`.

Its model must give vectors of our dimension (`all-minilm` does); any other answer is a failure, never stored.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import aiohttp
import orjson

from pmcp_memory.embedding import DIMENSION, EmbeddingFailed, Urgency, Vector, unit_vector

log = logging.getLogger(__name__)

_MAX_TEXTS_PER_REQUEST = 16


class OllamaEmbedder:
    def __init__(self, session: aiohttp.ClientSession, url: str, model: str, *, timeout_seconds: float = 10.0) -> None:
        """Owns `session` from here on."""
        self._session = session
        self._endpoint = url.rstrip("/") + "/api/embed"
        self._model = model
        self._timeout = aiohttp.ClientTimeout(total=timeout_seconds)

    @property
    def name(self) -> str:
        return f"ollama/{self._model}"

    @property
    def dimension(self) -> int:
        return DIMENSION

    async def embed(self, texts: Sequence[str], urgency: Urgency = Urgency.STORE) -> list[Vector]:
        """`urgency` has no use here: the server has its own queue."""
        vectors: list[Vector] = []
        for start in range(0, len(texts), _MAX_TEXTS_PER_REQUEST):
            vectors += await self._request(texts[start : start + _MAX_TEXTS_PER_REQUEST])
        return vectors

    async def close(self) -> None:
        await self._session.close()

    async def _request(self, texts: Sequence[str]) -> list[Vector]:
        body = orjson.dumps({"model": self._model, "input": list(texts), "truncate": True})
        headers = {"content-type": "application/json"}
        try:
            async with self._session.post(self._endpoint, data=body, headers=headers, timeout=self._timeout) as reply:
                raw = await reply.read()
                if reply.status != 200:
                    log.warning("embedding refused", extra={"status": reply.status, "model": self._model})
                    raise EmbeddingFailed("The embedding server refused", status=reply.status)
        except (aiohttp.ClientError, TimeoutError) as error:
            log.warning("embedding server away", extra={"reason": type(error).__name__})
            raise EmbeddingFailed("The embedding server is away") from error
        return _read_vectors(raw, expected=len(texts))


def _read_vectors(raw: bytes, expected: int) -> list[Vector]:
    try:
        answer: Any = orjson.loads(raw)
        vectors = [unit_vector(values) for values in answer["embeddings"]]
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError) as error:
        raise EmbeddingFailed("The embedding server's answer was not understood") from error
    if len(vectors) != expected:
        raise EmbeddingFailed("The embedding server's answer was incomplete", vectors=len(vectors))
    return vectors
