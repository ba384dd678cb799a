"""What an operator can set: read once, in `__main__` (see `pmcp_common.configuration`), and never changed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from pydantic import Field, SecretStr

from pmcp_common.configuration import LogLevel, Settings, TenantId
from pmcp_common.contracts.loopback import LoopbackHost
from pmcp_gateway.connection import SocketLimits
from pmcp_gateway.methods.call import RequestLimits
from pmcp_gateway.outbox import OutboxLimits
from pmcp_gateway.server import PING_SECONDS


class GatewaySettings(Settings):
    older_names: ClassVar[Mapping[str, str]] = {"SERVER_HOST": "gateway_host", "SERVER_PORT": "gateway_port"}

    gateway_host: LoopbackHost = Field(
        default="127.0.0.1", description="address to listen on; loopback only, until authentication exists"
    )
    gateway_port: int = Field(default=8000, ge=0, le=65535, description="TCP port; 0: any free one")
    redis_url: SecretStr = Field(
        default=SecretStr("redis://127.0.0.1:6390/0"),
        description="sessions, jobs and streams; secret, because it may carry a password",
    )
    gateway_redis_seconds: float = Field(
        default=0.9,
        gt=0,
        le=30,
        description="seconds a Redis command may take; then the client is told to come back: within a second",
    )
    persona_url: str = Field(default="http://127.0.0.1:8001", description="the persona service")
    memory_url: str = Field(default="http://127.0.0.1:8002", description="the memory service")
    tenant: TenantId = Field(default="local", description="owner of everything this gateway's clients see")
    session_seconds: int = Field(
        default=86_400, ge=60, le=31_536_000, description="seconds without a message after which a session is forgotten"
    )
    sights_seconds: int = Field(
        default=3600, ge=1, le=86_400, description="seconds after which what a player saw (visual.update) is forgotten"
    )
    gateway_max_sockets: int = Field(
        default=2000, ge=1, le=100_000, description="open sockets; further ones are answered with HTTP 503"
    )
    gateway_max_in_flight: int = Field(default=16, ge=1, le=1000, description="unanswered requests per socket")
    gateway_max_malformed: int = Field(
        default=100, ge=1, le=10_000, description="malformed frames in a row before a socket is closed (4002)"
    )
    gateway_outbox_bytes: int = Field(
        default=1024 * 1024, ge=1024, le=2**28, description="bytes waiting for one slow client; then 4010"
    )
    gateway_send_seconds: float = Field(
        default=8.0,
        gt=0,
        le=300,
        description="seconds one frame may wait for a slow client; then 4010, at the next second's look",
    )
    gateway_heartbeat_seconds: float = Field(
        default=PING_SECONDS,
        ge=0.5,
        le=14,
        description="seconds between pings to a client; one that leaves two unanswered is gone, at 14 within 35 s",
    )
    gateway_interrupt_seconds: float = Field(
        default=20.0,
        ge=0,
        le=600,
        description="seconds after the loss of a socket until `on_interrupt` decides about its replies",
    )
    log_level: LogLevel = "INFO"

    def socket_limits(self) -> SocketLimits:
        return SocketLimits(
            max_sockets=self.gateway_max_sockets,
            max_in_flight=self.gateway_max_in_flight,
            max_malformed=self.gateway_max_malformed,
            outbox=OutboxLimits(max_bytes=self.gateway_outbox_bytes, send_seconds=self.gateway_send_seconds),
        )

    def request_limits(self) -> RequestLimits:
        return RequestLimits(
            max_in_flight=self.gateway_max_in_flight,
            heartbeat_seconds=self.gateway_heartbeat_seconds,
            submit_seconds=self.gateway_redis_seconds,
        )
