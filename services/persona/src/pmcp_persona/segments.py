"""How ids and names travel in paths of the API."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import unquote

from pydantic import BeforeValidator
from starlette.types import ASGIApp, Receive, Scope, Send

from pmcp_common.contracts.personas import Identifier

Segment = Annotated[Identifier, BeforeValidator(unquote)]
"""One encoded segment of the path, see `EncodedPath`."""


class EncodedPath:
    """Routes by the path as it was sent. A name may hold a slash: decoded before routing it would look like two
    segments, and a player's odd reference would miss the route instead of being a persona not found."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            scope = {**scope, "path": scope["raw_path"].decode("latin-1")}
        await self._app(scope, receive, send)
