"""Lines of a streamed HTTP answer: bounded, whole, in order; and the translation of HTTP failures to `ModelError`s.

Shared by both model adapters, which know what a line means. Split on bytes, so that a code point is never cut.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, Protocol

import aiohttp
import orjson

from pmcp_llm_worker.deadline import Deadline
from pmcp_llm_worker.model import (
    Message,
    ModelAway,
    ModelBroken,
    ModelBusy,
    ModelError,
    ModelStalled,
    ModelUnwilling,
    Patience,
    Prompt,
)

MAX_LINE_BYTES = 1024 * 1024
MAX_ERROR_BYTES = 64 * 1024
VERIFY_SECONDS = 5.0
BUSY_STATUS = frozenset({429, 503})
UNWILLING_STATUS = frozenset({400, 413, 422})

FINAL_CHUNK_SECONDS = 0.05
"""The end of the body normally comes with the last line; waiting longer would delay the reply's end."""

LineReader = Callable[[bytes], bool]
"""Takes one line without its newline; True: it was the last one."""


class Reading(Protocol):
    """One answer being read by a dialect."""

    def reader(self, deadline: Deadline) -> LineReader: ...

    def is_whole(self) -> bool:
        """Whether the reply is complete, when the body ends without a last line."""
        ...


def open_session(connections: int) -> aiohttp.ClientSession:
    """The one session of the process. Time-outs are ours: `Deadline` for streams, explicit ones elsewhere."""
    connector = aiohttp.TCPConnector(limit=connections, keepalive_timeout=60, ttl_dns_cache=60)
    tracing = aiohttp.TraceConfig()
    tracing.on_connection_reuseconn.append(_note_reuse)
    return aiohttp.ClientSession(
        connector=connector,
        trace_configs=[tracing],
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=3.0),
        auto_decompress=False,
        skip_auto_headers=("User-Agent",),
        json_serialize=lambda value: orjson.dumps(value).decode(),
    )


@asynccontextmanager
async def transport_errors() -> AsyncIterator[None]:
    """Translate what aiohttp raises. Its texts hold addresses, so they are not passed on."""
    try:
        yield
    except aiohttp.ClientPayloadError as error:
        raise ModelBroken("truncated") from error
    except (aiohttp.ClientError, OSError) as error:
        raise ModelAway("The model server cannot be reached") from error


async def read_stream(
    session: aiohttp.ClientSession,
    url: str,
    document: dict[str, Any],
    headers: dict[str, str],
    patience: Patience,
    reading: Reading,
    refused: Callable[[int, bytes], ModelError],
) -> None:
    """POST `document` and give each line to the reader until it says it was the last. Raises a `ModelError`."""
    async with Deadline(patience) as deadline, transport_errors():
        response = await _post(session, url, orjson.dumps(document), headers)
        done = False
        try:
            if response.status != 200:
                raise refused(response.status, await _bounded_body(response))
            done = await _each_line(response, reading.reader(deadline))
        finally:
            if not done:
                response.close()  # closes the connection, and that stops the model
        if done:
            await _finish(response)
    if not done and not reading.is_whole():
        raise ModelBroken("truncated")


async def _post(
    session: aiohttp.ClientSession, url: str, body: bytes, headers: dict[str, str]
) -> aiohttp.ClientResponse:
    """A kept connection that the server closed just as it was taken again is no failure of the model, so it is not
    left to the retries with their pauses (llama.cpp closes after each stream)."""
    while True:  # each turn uses up one kept connection
        taken = _Taken()
        try:
            return await session.post(url, data=body, headers=headers, trace_request_ctx=taken)
        except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError):
            if not taken.again:
                raise


@dataclass(slots=True)
class _Taken:
    """Whether a request went out over a connection that had served another before."""

    again: bool = False


async def _note_reuse(
    _session: aiohttp.ClientSession, context: SimpleNamespace, _event: aiohttp.TraceConnectionReuseconnParams
) -> None:
    if isinstance(context.trace_request_ctx, _Taken):
        context.trace_request_ctx.again = True


async def _each_line(response: aiohttp.ClientResponse, read: LineReader) -> bool:
    tail = b""
    read_any = response.content.readany
    while data := await read_any():
        if tail:
            data = tail + data
        *lines, tail = data.split(b"\n")
        for line in lines:
            if len(line) > MAX_LINE_BYTES:
                raise ModelBroken("line too long")
            if read(line):
                return True
        if len(tail) > MAX_LINE_BYTES:
            raise ModelBroken("line too long")
    return bool(tail) and read(tail)


async def _finish(response: aiohttp.ClientResponse) -> None:
    """Read the end of the body, so that the connection can serve the next reply; if it does not come, close it."""
    with suppress(TimeoutError):
        async with asyncio.timeout(FINAL_CHUNK_SECONDS):
            while await response.content.readany():
                pass
    response.release()


async def _bounded_body(response: aiohttp.ClientResponse) -> bytes:
    return await _read_up_to(response, MAX_ERROR_BYTES)


async def _read_up_to(response: aiohttp.ClientResponse, limit_bytes: int) -> bytes:
    """The body, or its beginning. One `read(n)` would give only what has arrived by now."""
    pieces: list[bytes] = []
    room = limit_bytes
    while room > 0 and (piece := await response.content.read(room)):
        pieces.append(piece)
        room -= len(piece)
    return b"".join(pieces)


async def fetch_document(
    session: aiohttp.ClientSession, method: str, url: str, headers: dict[str, str], body: Any = None
) -> tuple[int, Any]:
    """Status and JSON body of a small request; None for a body that is no JSON. Raises ModelAway, ModelStalled."""
    data = None if body is None else orjson.dumps(body)
    timeout = aiohttp.ClientTimeout(total=VERIFY_SECONDS)
    try:
        async with (
            transport_errors(),
            session.request(method, url, data=data, headers=headers, timeout=timeout) as response,
        ):
            text = await _read_up_to(response, MAX_LINE_BYTES)
            return response.status, parse_document(text)
    except TimeoutError:
        raise ModelStalled("verify", VERIFY_SECONDS) from None


def parse_document(text: bytes) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return None


def parse_line(text: bytes) -> dict[str, Any]:
    """Raises ModelBroken for what is not a JSON object."""
    document = parse_document(text)
    if not isinstance(document, dict):
        raise ModelBroken("garbage")
    return document


def with_said(prompt: Prompt) -> tuple[Message, ...]:
    """The messages, and last what the assistant has said so far."""
    return (*prompt.messages, Message("assistant", prompt.said)) if prompt.said else prompt.messages


def refusal_by_status(status: int) -> ModelError:
    """For the statuses both dialects share."""
    if status in BUSY_STATUS:
        return ModelBusy("The model server is busy")
    if status in UNWILLING_STATUS:
        return ModelUnwilling(status)
    return ModelAway(f"The model server refused the request (HTTP {status})")
