"""What an operator can set: read once, in `__main__` (see `pmcp_common.configuration`), and never changed."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr

from pmcp_common.configuration import LogLevel, Settings
from pmcp_memory.decay import DecayMode


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
    embedder: Literal["embedded", "ollama", "openai"] = Field(
        default="embedded",
        description="what makes vectors: the model in this process, an Ollama server, or one that speaks OpenAI's API",
    )
    embedder_url: str = Field(
        default="http://127.0.0.1:11434",
        description="base address of the embedding server, for embedder=ollama and openai",
    )
    embedder_model: str = Field(
        default="all-minilm", description="its model, of any dimension; for embedder=ollama and openai"
    )
    embedder_dimension: int | None = Field(
        default=None,
        ge=1,
        le=16_000,
        description="dimensions to ask it for, where it can shorten its vectors; empty: as many as it gives; for"
        " embedder=ollama and openai",
    )
    embedder_api_key: SecretStr | None = Field(
        default=None, description="sent as a bearer token; for embedder=openai; secret"
    )
    embedder_cache_entries: int = Field(
        default=4096, ge=1, le=1_000_000, description="vectors of recent texts kept in memory, 4 bytes a dimension each"
    )
    memory_upkeep_seconds: float = Field(
        default=60.0, gt=0, le=86_400, description="seconds between looks at whether background work is due"
    )
    memory_upkeep_statement_seconds: float = Field(
        default=60.0,
        gt=0,
        le=60,
        description="seconds a statement of background work may take, on connections of its own; nobody waits for it",
    )
    memory_decay: DecayMode = Field(
        default=DecayMode.EXPONENTIAL,
        description="how importance fades: none, linear, exponential, logarithmic or access_based",
    )
    memory_decay_hours: float = Field(
        default=6.0, gt=0, le=8_760, description="hours between two cycles of decay: importance fades over days"
    )
    memory_exact_limit: int = Field(
        default=20_000,
        ge=100,
        description="memories of one player with one persona that are searched exactly; more get an HNSW index",
    )
    memory_max_per_player: int = Field(
        default=100_000,
        ge=100,
        description="memories of one player with one persona; pruning begins at 0.9 of it and stops at 0.8",
    )
    memory_auto_prune: bool = Field(
        default=True, description="whether too many memories are pruned without being asked, once an hour"
    )
    memory_prune_limit: int = Field(
        default=1_000,
        ge=10,
        description="the same for pruning that a client asks for: the size existing clients know",
    )
    data_dir: Path = Field(default=Path(".pmcp"), description="the built embedding model is kept in models/ here")
    log_level: LogLevel = "INFO"
