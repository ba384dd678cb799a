"""All that the terminal chat asks of the protocol, in its words: the one place that uses `pmcp_client`.

Turns what goes wrong into ChatFailure, whose text is a sentence for the person at the terminal.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any

from websockets.exceptions import InvalidHandshake, InvalidURI

from pmcp_client import CallFailed, Client, ClientError, ConnectionLost, Restarted, connect

_CANCEL_SECONDS = 1.0
BEGINS_ANEW = "\n(the reply was lost and begins anew)\n"


class ChatFailure(Exception):
    """One sentence; the chat can go on with another message unless `final`."""

    def __init__(self, sentence: str, *, final: bool = False) -> None:
        super().__init__(sentence)
        self.final = final


@dataclass(frozen=True, slots=True)
class Answerer:
    """Who answers: the persona, and the model behind it."""

    persona: str
    description: str
    model: str
    provider: str


@dataclass(frozen=True, slots=True)
class ReplyEnd:
    fallback: bool
    """The text is a canned line: the model did not answer."""
    forgetful: bool
    """The memory service was away: the model answered without what was said before."""


class ChatClient:
    def __init__(self, client: Client, url: str) -> None:
        self._client = client
        self._url = url
        self.last_end = ReplyEnd(False, False)

    async def switch(self, persona: str) -> Answerer:
        chosen = await self._call("persona.switch", {"persona_id": persona})
        models = await self._call("system.models", {})
        return Answerer(
            persona=str(chosen.get("name", persona)),
            description=str(chosen.get("description") or ""),
            model=str(models.get("current_model") or "an unknown model"),
            provider=str(models.get("provider") or "unknown"),
        )

    async def list_personas(self) -> list[Mapping[str, Any]]:
        listed = await self._call("persona.list", {})
        return [entry for entry in listed.get("personas", []) if isinstance(entry, dict)]

    async def search_memories(self, query: str) -> list[Mapping[str, Any]]:
        found = await self._call("memory.search", {"query": query})
        return [entry for entry in found.get("memories", []) if isinstance(entry, dict)]

    async def speak(self, message: str) -> AsyncIterator[str]:
        """The reply's text as it comes; `last_end` is set after it."""
        with self._explained():
            stream = await self._client.stream("persona.chat_stream", {"message": message})
            try:
                async for chunk in stream:
                    yield BEGINS_ANEW if isinstance(chunk, Restarted) else chunk
            except asyncio.CancelledError:
                # The model need not write on for nobody.
                with contextlib.suppress(ClientError, OSError):
                    async with asyncio.timeout(_CANCEL_SECONDS):
                        await stream.cancel()
                raise
            self.last_end = _read_end(stream.terminal)

    async def _call(self, method: str, params: Mapping[str, Any]) -> Mapping[str, Any]:
        with self._explained():
            return await self._client.call(method, params)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        with explained(self._url):
            yield


def _read_end(terminal: Mapping[str, Any] | None) -> ReplyEnd:
    fields = terminal or {}
    return ReplyEnd(fields.get("response_type") == "fallback", fields.get("memory") == "unavailable")


@contextmanager
def explained(url: str) -> Iterator[None]:
    """Connection troubles and coded errors as sentences."""
    try:
        yield
    except CallFailed as error:
        raise ChatFailure(f"{error.message.rstrip('.')}.") from error
    except ConnectionLost as error:
        raise ChatFailure(f"The gateway at {url} closed the connection.", final=True) from error
    except ClientError as error:
        raise ChatFailure(f"The reply was damaged on its way: {error}.") from error
    except InvalidHandshake as error:
        raise ChatFailure(f"Whatever answers at {url} is not a gateway of ours.", final=True) from error
    except (InvalidURI, ValueError) as error:
        raise ChatFailure(
            f"{url} is not an address of a gateway; it should look like ws://127.0.0.1:8000/mcp.", final=True
        ) from error
    except TimeoutError as error:
        raise ChatFailure(f"The gateway at {url} does not answer in time.", final=True) from error
    except OSError as error:
        raise ChatFailure(f"No gateway answers at {url}; start one with `make up` or `pmcp up`.", final=True) from error


@asynccontextmanager
async def open_chat(url: str, player: str) -> AsyncIterator[ChatClient]:
    opening = connect(url, player_id=player)
    with explained(url):
        client = await opening.__aenter__()
    try:
        yield ChatClient(client, url)
    finally:
        await opening.__aexit__(None, None, None)
