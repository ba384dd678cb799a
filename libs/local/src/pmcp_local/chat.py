"""The terminal chat: lines in, streamed replies out. A person's terminal or a pipe, told apart once.

The main thread reads lines (so that Ctrl-C and line editing behave as everywhere); the connection lives on an
event loop of its own thread, where keep-alives go on while the person thinks. No stack trace reaches the user.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import textwrap
import threading
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, Protocol, TypeVar

from pmcp_local.chat_client import Answerer, ChatClient, ChatFailure, open_chat
from pmcp_local.console import complain, say, write

PROMPT = "you> "
HELP = """\
  /persona NAME   talk to someone else
  /list           who is there
  /memory QUERY   what this persona remembers of you
  /help           this
  /quit           leave (as does Ctrl-D)
Anything else is said to the persona."""
FALLBACK_MARK = "[fallback: the model did not answer, so this is a canned line]"
FORGETFUL_MARK = "[memory is unavailable: this reply was made without what was said before]"
_PROVIDERS = {"ollama": "Ollama", "openai": "an OpenAI-compatible server"}

_MEMORY_CHARS = 200
_LEAVE_SECONDS = 2.0

T = TypeVar("T")


class LineSource(Protocol):
    def __call__(self) -> str | None:
        """The next line without its end; None at the end of input."""


class Background:
    """An event loop in its own thread."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="chat-loop", daemon=True)
        self._over = threading.Event()

    def __enter__(self) -> Background:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(timeout=5.0)
        if not self._thread.is_alive():
            self._loop.close()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """The result. Interrupted, it cancels the work and gives it a moment to leave in order."""
        self._over.clear()
        future = asyncio.run_coroutine_threadsafe(self._tracked(work), self._loop)
        try:
            return future.result()
        except KeyboardInterrupt:
            future.cancel()
            self._over.wait(_LEAVE_SECONDS)
            raise

    async def _tracked(self, work: Coroutine[Any, Any, T]) -> T:
        try:
            return await work
        finally:
            self._over.set()


class Conversation:
    """What a line means. Prints; counts what failed."""

    def __init__(self, client: ChatClient) -> None:
        self._client = client
        self._answerer: Answerer | None = None
        self.failures = 0

    async def greet(self, persona: str) -> None:
        await self._talk_to(persona)
        say("Type a message and press Enter; /help lists the commands.")

    async def take(self, line: str) -> bool:
        """False when the line ends the conversation."""
        command, _, rest = line.partition(" ")
        if command in ("/quit", "/exit"):
            return False
        try:
            await self._obey(command, rest.strip(), line)
        except ChatFailure as failure:
            self.failures += 1
            complain(str(failure))
            return not failure.final
        return True

    async def _obey(self, command: str, rest: str, line: str) -> None:
        if not command.startswith("/"):
            await self._answer(line)
        elif command == "/help":
            say(HELP)
        elif command == "/list":
            await self._list()
        elif command == "/persona" and rest:
            await self._talk_to(rest)
        elif command == "/memory" and rest:
            await self._remember(rest)
        else:
            say(f"{line} is no command:\n{HELP}")

    async def _answer(self, message: str) -> None:
        name = self._answerer.persona if self._answerer else "?"
        write(f"{name}> ")
        try:
            async for chunk in self._client.speak(message):
                write(chunk)
        finally:
            say()
        end = self._client.last_end
        if end.fallback or end.forgetful:
            say(FALLBACK_MARK if end.fallback else FORGETFUL_MARK)

    async def _talk_to(self, persona: str) -> None:
        self._answerer = answerer = await self._client.switch(persona)
        say(f"You are talking to {answerer.persona}. {answerer.description}".rstrip())
        say(f"The words come from {answerer.model} on {_PROVIDERS.get(answerer.provider, answerer.provider)}.")

    async def _list(self) -> None:
        for entry in await self._client.list_personas():
            mark = "" if entry.get("available", True) else " (not available now)"
            say(f"  {entry.get('name')}: {entry.get('description', '')}{mark}")

    async def _remember(self, query: str) -> None:
        memories = await self._client.search_memories(query)
        for memory in memories:
            say(f"  - {_one_line(str(memory.get('content', '')))}")
        if not memories:
            say("  Nothing comes to mind.")


def _one_line(text: str) -> str:
    return textwrap.shorten(text, _MEMORY_CHARS, placeholder=" …")


def chat(url: str, persona: str, player: str) -> int:
    """Talk until the input ends. Exit code: 0, or 1 when anything failed."""
    with Background() as background, _conversation(background, url, player) as conversation:
        background.run(conversation.greet(persona))
        read_line = _choose_source()
        while (line := read_line()) is not None:
            text = line.strip()
            if text and not background.run(conversation.take(text)):
                break
        return 1 if conversation.failures else 0


@contextlib.contextmanager
def _conversation(background: Background, url: str, player: str) -> Iterator[Conversation]:
    opening = open_chat(url, player)
    client = background.run(opening.__aenter__())
    try:
        yield Conversation(client)
    finally:
        with contextlib.suppress(ChatFailure, OSError):  # TimeoutError too: nobody waits for a polite end
            background.run(_bounded_exit(opening.__aexit__))


async def _bounded_exit(leave: Callable[[None, None, None], Coroutine[Any, Any, bool | None]]) -> None:
    async with asyncio.timeout(_LEAVE_SECONDS):
        await leave(None, None, None)


def _choose_source() -> LineSource:
    if sys.stdin.isatty():
        with contextlib.suppress(ImportError):
            import readline  # noqa: F401 - its import gives input() line editing and history
        return _ask
    # A pipe may carry anything; a wrong byte is the persona's problem, not a crash.
    reconfigure = getattr(sys.stdin, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(errors="replace")
    return _read_pipe


def _ask() -> str | None:
    try:
        return input(PROMPT)
    except EOFError:
        say()
        return None


def _read_pipe() -> str | None:
    line = sys.stdin.readline()
    if not line:
        return None
    text = line.rstrip("\r\n")
    if text.strip():
        say(f"{PROMPT}{text}")
    return text
