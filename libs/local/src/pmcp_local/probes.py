"""Asking an HTTP server whether it is ready."""

from __future__ import annotations

import aiohttp

from pmcp_local.part import NotReady


async def check_http(url: str) -> None:
    """Returns for 200; NotReady otherwise, and when nobody answers."""
    try:
        async with aiohttp.ClientSession() as session, session.get(url) as response:
            if response.status != 200:
                raise NotReady(f"status {response.status}")
    except aiohttp.ClientError as error:
        raise NotReady(type(error).__name__) from error
