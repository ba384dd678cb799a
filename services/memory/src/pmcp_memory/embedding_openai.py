"""The embedder of a server that speaks OpenAI's `/v1/embeddings` (vLLM, llama.cpp, LM Studio, OpenAI itself).

Its vectors may have any dimension. Models trained for shortening can be asked for fewer: then the number is part of the
name, for such vectors are others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import aiohttp

from pmcp_memory.embedding import Urgency, Vector
from pmcp_memory.embedding_http import Dialect, EmbeddingServer, Wanted

_TEXTS_PER_REQUEST = 64


class OpenAiEmbedder:
    def __init__(
        self,
        session: aiohttp.ClientSession,
        url: str,
        model: str,
        *,
        api_key: str | None = None,
        dimension: int | None = None,
        timeout_seconds: float = 10.0,
    ) -> None:
        """Owns `session` from here on. `dimension`: to ask for; None: what the model gives, and the field, which some
        servers refuse, is not sent."""
        self._model = model
        self._wanted = Wanted(dimension)
        endpoint = url.rstrip("/").removesuffix("/v1") + "/v1/embeddings"
        headers = {"authorization": f"Bearer {api_key}"} if api_key else {}
        dialect = Dialect(endpoint, model, self._body, self._vectors, _TEXTS_PER_REQUEST, headers)
        self._server = EmbeddingServer(session, dialect, timeout_seconds)

    @property
    def name(self) -> str:
        return f"openai/{self._model}{self._wanted.suffix}"

    async def embed(self, texts: Sequence[str], urgency: Urgency = Urgency.STORE) -> list[Vector]:
        """`urgency` has no use here: the server has its own queue."""
        return await self._server.embed(texts)

    async def close(self) -> None:
        await self._server.close()

    def _body(self, texts: Sequence[str]) -> Mapping[str, Any]:
        return {"model": self._model, "input": list(texts), "encoding_format": "float", **self._wanted.field}

    def _vectors(self, answer: Any) -> list[Vector]:
        """In the order of the inputs, which the answer's `index` says."""
        entries = sorted(answer["data"], key=lambda entry: int(entry["index"]))
        if [int(entry["index"]) for entry in entries] != list(range(len(entries))):
            raise ValueError("an index is missing or there twice")
        return [self._wanted.unit_vector(entry["embedding"]) for entry in entries]
