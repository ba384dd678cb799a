"""The embedder of a model server: Ollama's `/api/embed`.

Its vectors may have any dimension. A number of dimensions is asked for only where one is wanted: then it is part of the
name, for such vectors are others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import aiohttp

from pmcp_memory.embedding import Urgency, Vector
from pmcp_memory.embedding_http import Dialect, EmbeddingServer, Wanted

_TEXTS_PER_REQUEST = 16


class OllamaEmbedder:
    def __init__(
        self,
        session: aiohttp.ClientSession,
        url: str,
        model: str,
        *,
        dimension: int | None = None,
        timeout_seconds: float = 10.0,
    ) -> None:
        """Owns `session` from here on. `dimension`: to ask for; None: what the model gives."""
        self._model = model
        self._wanted = Wanted(dimension)
        dialect = Dialect(
            url.rstrip("/") + "/api/embed", model, self._body, self._vectors, _TEXTS_PER_REQUEST, headers={}
        )
        self._server = EmbeddingServer(session, dialect, timeout_seconds)

    @property
    def name(self) -> str:
        return f"ollama/{self._model}{self._wanted.suffix}"

    async def embed(self, texts: Sequence[str], urgency: Urgency = Urgency.STORE) -> list[Vector]:
        """`urgency` has no use here: the server has its own queue."""
        return await self._server.embed(texts)

    async def close(self) -> None:
        await self._server.close()

    def _body(self, texts: Sequence[str]) -> Mapping[str, Any]:
        return {"model": self._model, "input": list(texts), "truncate": True, **self._wanted.field}

    def _vectors(self, answer: Any) -> list[Vector]:
        return [self._wanted.unit_vector(values) for values in answer["embeddings"]]
