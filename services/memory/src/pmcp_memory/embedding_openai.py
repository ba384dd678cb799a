"""The embedder of a server that speaks OpenAI's `/v1/embeddings` (vLLM, llama.cpp, LM Studio, OpenAI itself).

The request asks for our dimension, which models trained for shortening honour; any other answer is a failure, never
stored.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import aiohttp
import orjson

from pmcp_memory.embedding import DIMENSION, EmbeddingFailed, Urgency, Vector, unit_vector

log = logging.getLogger(__name__)

_MAX_TEXTS_PER_REQUEST = 64


class OpenAiEmbedder:
    def __init__(
        self,
        session: aiohttp.ClientSession,
        url: str,
        model: str,
        *,
        api_key: str | None = None,
        ask_dimension: bool = True,
        timeout_seconds: float = 10.0,
    ) -> None:
        """Owns `session` from here on. `ask_dimension`: some servers refuse the field."""
        self._session = session
        self._endpoint = url.rstrip("/").removesuffix("/v1") + "/v1/embeddings"
        self._model = model
        self._headers = {"content-type": "application/json"}
        if api_key:
            self._headers["authorization"] = f"Bearer {api_key}"
        self._extra: Mapping[str, Any] = {"dimensions": DIMENSION} if ask_dimension else {}
        self._timeout = aiohttp.ClientTimeout(total=timeout_seconds)

    @property
    def name(self) -> str:
        return f"openai/{self._model}"

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
        body = orjson.dumps({"model": self._model, "input": list(texts), "encoding_format": "float", **self._extra})
        try:
            async with self._session.post(
                self._endpoint, data=body, headers=self._headers, timeout=self._timeout
            ) as reply:
                raw = await reply.read()
                if reply.status != 200:
                    log.warning("embedding refused", extra={"status": reply.status, "model": self._model})
                    raise EmbeddingFailed("The embedding server refused", status=reply.status)
        except (aiohttp.ClientError, TimeoutError) as error:
            log.warning("embedding server away", extra={"reason": type(error).__name__})
            raise EmbeddingFailed("The embedding server is away") from error
        return _read_vectors(raw, expected=len(texts))


def _read_vectors(raw: bytes, expected: int) -> list[Vector]:
    """In the order of the inputs, which the answer's `index` says."""
    try:
        entries = sorted(orjson.loads(raw)["data"], key=lambda entry: int(entry["index"]))
        vectors = [unit_vector(entry["embedding"]) for entry in entries]
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError) as error:
        raise EmbeddingFailed("The embedding server's answer was not understood") from error
    if [int(entry["index"]) for entry in entries] != list(range(expected)):
        raise EmbeddingFailed("The embedding server's answer was incomplete", vectors=len(vectors))
    return vectors
