"""The real embedder before a cache on disk: a second run of the quality bench embeds nothing.

Only quality runs use the cache; latency and write runs measure the embedder itself.
"""

from __future__ import annotations

import hashlib
import sqlite3
import struct
from collections.abc import Sequence
from pathlib import Path

from pmcp_memory.embedding import Embedder, Urgency, Vector


class DiskCachedEmbedder:
    def __init__(self, inner: Embedder, path: Path) -> None:
        self._inner = inner
        path.parent.mkdir(parents=True, exist_ok=True)
        self._rows = sqlite3.connect(path)
        self._rows.execute("CREATE TABLE IF NOT EXISTS vectors (key BLOB PRIMARY KEY, value BLOB NOT NULL)")

    @property
    def name(self) -> str:
        return self._inner.name

    async def embed(self, texts: Sequence[str], urgency: Urgency = Urgency.STORE) -> list[Vector]:
        vectors = [self._find(text) for text in texts]
        missing = [text for text, vector in zip(texts, vectors, strict=True) if vector is None]
        if missing:
            for text, vector in zip(missing, await self._inner.embed(missing, urgency), strict=True):
                value = struct.pack(f"<{len(vector)}f", *vector)
                self._rows.execute("INSERT OR REPLACE INTO vectors VALUES (?, ?)", (self._key(text), value))
            self._rows.commit()
        return [
            vector if vector is not None else self._known(text) for text, vector in zip(texts, vectors, strict=True)
        ]

    async def close(self) -> None:
        self._rows.close()
        await self._inner.close()

    def _known(self, text: str) -> Vector:
        found = self._find(text)
        assert found is not None
        return found

    def _find(self, text: str) -> Vector | None:
        row = self._rows.execute("SELECT value FROM vectors WHERE key = ?", (self._key(text),)).fetchone()
        return struct.unpack(f"<{len(row[0]) // 4}f", row[0]) if row else None

    def _key(self, text: str) -> bytes:
        return hashlib.blake2b(f"{self.name}\0{text}".encode(), digest_size=16).digest()
