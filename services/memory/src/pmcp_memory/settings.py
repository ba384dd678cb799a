"""What an operator can set: read once, in `__main__` (see `pmcp_common.configuration`), and never changed."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr

from pmcp_common.configuration import Settings


class MemorySettings(Settings):
    memory_host: str = Field(default="127.0.0.1", description="address to listen on; only the other services call it")
    memory_port: int = Field(default=8002, ge=0, le=65535, description="TCP port; 0: any free one")
    postgres_dsn: SecretStr = Field(
        default=SecretStr("postgresql://postgres@127.0.0.1:5442/pmcp"),
        description="where the schema `memory` lives; secret, because it may carry a password",
    )
    memory_pool_size: int = Field(
        default=8, ge=1, le=100, description="connections; a reply needs one for about a millisecond"
    )
    memory_statement_seconds: float = Field(
        default=2.0,
        gt=0,
        le=60,
        description="seconds a statement, or the wait for a free connection, may take: a player is waiting",
    )
    memory_recall_seconds: float = Field(
        default=1.0,
        gt=0,
        le=60,
        description="seconds after which a reply goes on without memories, and says so",
    )
    embedder: Literal["embedded", "ollama"] = Field(
        default="embedded", description="what makes vectors: the model in this process, or an Ollama server"
    )
    embedder_url: str = Field(
        default="http://127.0.0.1:11434", description="base address of the Ollama server, for embedder=ollama"
    )
    embedder_model: str = Field(
        default="all-minilm", description="its model; must give 384 dimensions; for embedder=ollama"
    )
    embedder_cache_entries: int = Field(
        default=4096, ge=1, le=1_000_000, description="vectors of recent texts kept in memory, 1.6 KiB each"
    )
    data_dir: Path = Field(default=Path(".pmcp"), description="the built embedding model is kept in models/ here")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        default="INFO", description="least level written to standard error"
    )
