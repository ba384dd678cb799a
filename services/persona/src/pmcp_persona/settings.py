"""What an operator can set: read once, in `__main__` (see `pmcp_common.configuration`), and never changed."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, SecretStr

from pmcp_common.configuration import LogLevel, Settings


class PersonaSettings(Settings):
    persona_host: str = Field(default="127.0.0.1", description="address to listen on; only the other services call it")
    persona_port: int = Field(default=8001, ge=0, le=65535, description="TCP port; 0: any free one")
    postgres_dsn: SecretStr = Field(
        default=SecretStr("postgresql://postgres@127.0.0.1:5442/pmcp"),
        description="where the schema `persona` lives; secret, because it may carry a password",
    )
    redis_url: SecretStr = Field(
        default=SecretStr("redis://127.0.0.1:6390/0"),
        description="where changes of personas are announced, as hints; secret, because it may carry a password",
    )
    persona_pool_size: int = Field(
        default=8,
        ge=1,
        le=100,
        description="connections; a statement takes under a millisecond: a few serve hundreds of replies/s",
    )
    persona_statement_seconds: float = Field(
        default=2.0,
        gt=0,
        le=60,
        description="seconds a statement, or the wait for a free connection, may take: a player is waiting",
    )
    persona_interaction_scope: Literal["player", "world"] = Field(
        default="player",
        description="whom a talk tires a persona for: player (a crowd does not exhaust it for everyone) or world",
    )
    log_level: LogLevel = "INFO"
