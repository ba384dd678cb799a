"""Asking an HTTP server whether it is ready, and why not."""

from __future__ import annotations

import aiohttp
import orjson

from pmcp_local.part import NotReady


async def check_http(url: str) -> None:
    """Returns for 200; NotReady otherwise, and when nobody answers."""
    try:
        async with aiohttp.ClientSession() as session, session.get(url) as response:
            if response.status != 200:
                raise NotReady(_why(response.status, await response.read()))
    except aiohttp.ClientError as error:
        raise NotReady("nobody answers") from error


def _why(status: int, body: bytes) -> str:
    """Our services name what they miss: `{"reasons": {"redis": "ConnectionError"}}`."""
    try:
        reasons = orjson.loads(body)["reasons"]
        return ", ".join(f"{name}: {reason}" for name, reason in reasons.items())
    except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError):
        return f"status {status}"
