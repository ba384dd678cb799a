"""A bounded memory of recent vectors before any embedder.

The user's message is embedded for recall and again when it is stored: the second time it is here.
"""

from __future__ import annotations

import hashlib
from array import array
from collections import OrderedDict
from collections.abc import Sequence

from pmcp_memory.embedding import Embedder, Urgency, Vector


class CachedEmbedder:
    def __init__(self, inner: Embedder, *, max_entries: int = 4096) -> None:
        """Each of the `max_entries` takes 4 bytes a dimension; the least recently used goes first."""
        self._inner = inner
        self._max_entries = max_entries
        self._vectors: OrderedDict[bytes, Vector] = OrderedDict()

    @property
    def name(self) -> str:
        return self._inner.name

    async def embed(self, texts: Sequence[str], urgency: Urgency = Urgency.STORE) -> list[Vector]:
        keys = [hashlib.blake2b(text.encode(), digest_size=16).digest() for text in texts]
        found = {key: self._vectors[key] for key in keys if key in self._vectors}
        missing = {key: text for key, text in zip(keys, texts, strict=True) if key not in found}
        if missing:
            made = await self._inner.embed(list(missing.values()), urgency)
            found.update(zip(missing, made, strict=True))
        for key in keys:
            self._keep(key, found[key])
        return [found[key] for key in keys]

    async def close(self) -> None:
        await self._inner.close()

    def _keep(self, key: bytes, vector: Vector) -> None:
        if key not in self._vectors:
            self._vectors[key] = array("f", vector)
        self._vectors.move_to_end(key)
        if len(self._vectors) > self._max_entries:
            self._vectors.popitem(last=False)
