"""Asking a model server for vectors over HTTP: batches, failures, and answers of the wrong size.

Above it: the dialects `embedding_ollama` and `embedding_openai`. What is not understood is a failure: never stored.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import aiohttp
import orjson

from pmcp_memory.embedding import EmbeddingFailed, Vector, unit_vector

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Wanted:
    """How many dimensions a server is asked for."""

    dimension: int | None
    """None: it gives what it gives."""

    @property
    def suffix(self) -> str:
        """Of the model's name."""
        return "" if self.dimension is None else f"/{self.dimension}"

    @property
    def field(self) -> Mapping[str, int]:
        """Of the request, in both dialects."""
        return {} if self.dimension is None else {"dimensions": self.dimension}

    def unit_vector(self, values: Sequence[float]) -> Vector:
        """Raises EmbeddingFailed for another number than was asked for."""
        if self.dimension is not None and len(values) != self.dimension:
            raise EmbeddingFailed(
                f"The embedding model gave {len(values)} dimensions instead of {self.dimension}", dimension=len(values)
            )
        return unit_vector(values)


@dataclass(frozen=True, slots=True)
class Dialect:
    endpoint: str
    model: str
    body: Callable[[Sequence[str]], Mapping[str, Any]]
    read: Callable[[Any], list[Vector]]
    """Of the parsed answer; KeyError, TypeError or ValueError: it is not what was asked for."""
    texts_per_request: int
    headers: Mapping[str, str]


class EmbeddingServer:
    def __init__(self, session: aiohttp.ClientSession, dialect: Dialect, timeout_seconds: float) -> None:
        """Owns `session` from here on."""
        self._session = session
        self._dialect = dialect
        self._headers = {"content-type": "application/json", **dialect.headers}
        self._timeout = aiohttp.ClientTimeout(total=timeout_seconds)

    async def embed(self, texts: Sequence[str]) -> list[Vector]:
        """In the order of the texts. Raises EmbeddingFailed."""
        vectors: list[Vector] = []
        step = self._dialect.texts_per_request
        for start in range(0, len(texts), step):
            vectors += await self._request(texts[start : start + step])
        return vectors

    async def close(self) -> None:
        await self._session.close()

    async def _request(self, texts: Sequence[str]) -> list[Vector]:
        vectors = self._read(await self._post(orjson.dumps(self._dialect.body(texts))))
        if len(vectors) != len(texts):
            raise EmbeddingFailed("The embedding server's answer was incomplete", vectors=len(vectors))
        return vectors

    async def _post(self, body: bytes) -> bytes:
        url, headers, timeout = self._dialect.endpoint, self._headers, self._timeout
        try:
            async with self._session.post(url, data=body, headers=headers, timeout=timeout) as reply:
                raw = await reply.read()
                if reply.status != 200:
                    log.warning("embedding refused", extra={"status": reply.status, "model": self._dialect.model})
                    raise EmbeddingFailed("The embedding server refused", status=reply.status)
        except (aiohttp.ClientError, TimeoutError) as error:
            log.warning("embedding server away", extra={"reason": type(error).__name__})
            raise EmbeddingFailed("The embedding server is away") from error
        return raw

    def _read(self, raw: bytes) -> list[Vector]:
        try:
            return self._dialect.read(orjson.loads(raw))
        except (orjson.JSONDecodeError, KeyError, TypeError, ValueError) as error:
            raise EmbeddingFailed("The embedding server's answer was not understood") from error
