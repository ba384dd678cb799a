"""What an operator can set: read once, in `__main__` (see `pmcp_common.configuration`), and never changed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal, Self

from pydantic import Field, SecretStr, field_validator, model_validator

from pmcp_common.configuration import LogLevel, Settings, TenantId
from pmcp_common.ollama_host import normalise_ollama_host


class WorkerSettings(Settings):
    older_names: ClassVar[Mapping[str, str]] = {"OLLAMA_HOST": "model_url", "DEFAULT_MODEL": "model_name"}

    redis_url: SecretStr = Field(
        default=SecretStr("redis://127.0.0.1:6390/0"), description="the message broker; may hold a password"
    )
    persona_url: str = Field(default="http://127.0.0.1:8001", description="the persona service")
    memory_url: str = Field(default="http://127.0.0.1:8002", description="the memory service")
    peer_timeout_seconds: float = Field(
        default=3.0, gt=0, le=30, description="seconds one call to a service may take: a player is waiting"
    )
    tenant: TenantId = Field(default="local", description="whose model state is published")

    worker_host: str = Field(default="127.0.0.1", description="address of health and metrics")
    worker_port: int = Field(default=8003, ge=0, le=65535, description="TCP port of health and metrics; 0: any")
    worker_max_jobs: int = Field(
        default=16,
        ge=1,
        le=1000,
        description="replies written at once; the model server's slots, as more would wait there unseen",
    )
    worker_drain_seconds: float = Field(
        default=3.5, ge=0, le=600, description="seconds running replies get at SIGTERM before others take them over"
    )

    model_api: Literal["ollama", "openai"] = Field(default="ollama", description="the dialect the model server speaks")
    model_url: str = Field(default="http://127.0.0.1:11434", description="the model server")
    model_name: str = Field(default="llama3.1:8b", min_length=1, description="the chat model")
    model_api_key: SecretStr | None = Field(default=None, description="bearer key of the model server, if it wants one")
    model_num_ctx: int = Field(
        default=4096, ge=512, le=1_000_000, description="context window in tokens: prompt and reply together"
    )
    model_max_tokens: int = Field(
        default=300, ge=1, le=8192, description="tokens of a reply at most; the client's own budget may be less"
    )
    model_temperature: float = Field(default=0.7, ge=0, le=2, description="spread of the sampling; 0: always the same")
    model_top_p: float = Field(default=0.9, gt=0, le=1, description="share of the probability that is sampled from")
    model_repeat_penalty: float = Field(
        default=1.1, ge=1, le=2, description="1: none; small models fall into loops without it"
    )
    model_first_token_seconds: float = Field(
        default=20.0, gt=0, le=300, description="seconds until the first text, retries included; then a fallback line"
    )
    model_idle_seconds: float = Field(default=15.0, gt=0, le=300, description="seconds between two pieces of text")
    model_total_seconds: float = Field(
        default=240.0, gt=0, le=280, description="seconds for one answer; jobs as a whole end after 300"
    )
    prompt_turns: int = Field(
        default=20, ge=2, le=200, description="newest messages of both sides that are in the prompt word by word"
    )
    summary_after_turns: int = Field(
        default=50, ge=4, le=10_000, description="messages of a conversation after which the older ones are summarised"
    )
    worker_extraction: Literal["off", "on"] = Field(
        default="off", description="whether the model extracts facts and reflections from conversations, off the path"
    )
    worker_extraction_calls_per_hour: int = Field(
        default=60, ge=1, le=1_000_000, description="its model calls for one tenant in an hour, of all workers together"
    )
    worker_extraction_after_turns: int = Field(
        default=10, ge=2, le=20, description="new messages of a conversation after which the model is asked about them"
    )
    log_level: LogLevel = "INFO"

    @field_validator("model_url", mode="before")
    @classmethod
    def _with_scheme(cls, value: object) -> object:
        return normalise_ollama_host(value) if isinstance(value, str) and "://" not in value else value

    @model_validator(mode="after")
    def _summary_follows_prompt(self) -> Self:
        if self.summary_after_turns < self.prompt_turns:
            raise ValueError("PMCP_SUMMARY_AFTER_TURNS may not be less than PMCP_PROMPT_TURNS")
        return self

    @model_validator(mode="after")
    def _reply_fits_window(self) -> Self:
        if self.model_max_tokens > self.model_num_ctx // 2:
            raise ValueError("PMCP_MODEL_MAX_TOKENS may be at most half of PMCP_MODEL_NUM_CTX")
        return self
