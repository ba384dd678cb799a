"""The terminal chat: what a line does, what is shown, and what the end was."""

from __future__ import annotations

import io
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest

from pmcp_local import chat as chat_module
from pmcp_local.chat import FALLBACK_MARK, FORGETFUL_MARK, chat
from pmcp_local.chat_client import Answerer, ChatFailure, ReplyEnd


class ScriptedClient:
    """Speaks as `ChatClient`; a message that is a ChatFailure's text fails with it."""

    def __init__(self) -> None:
        self.last_end = ReplyEnd(fallback=False, forgetful=False)
        self.fallback = self.forgetful = False
        self.failure: ChatFailure | None = None
        self.heard: list[str] = []

    async def switch(self, persona: str) -> Answerer:
        if persona == "Nobody":
            raise ChatFailure("Persona not found: Nobody.")
        return Answerer(persona, "An elven bard.", "small", "openai")

    async def list_personas(self) -> list[Mapping[str, Any]]:
        return [
            {"name": "Aria", "description": "elven bard", "available": True},
            {"name": "Kira", "description": "scholar", "available": False},
        ]

    async def search_memories(self, query: str) -> list[Mapping[str, Any]]:
        return [{"content": "They like tea."}] if query == "tea" else []

    async def speak(self, message: str) -> AsyncIterator[str]:
        self.heard.append(message)
        yield "Well "
        if self.failure is not None:
            raise self.failure
        yield "met!"
        self.last_end = ReplyEnd(self.fallback, self.forgetful)


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> ScriptedClient:
    scripted = ScriptedClient()

    @asynccontextmanager
    async def open_scripted(_url: str, _player: str) -> AsyncIterator[ScriptedClient]:
        yield scripted

    monkeypatch.setattr(chat_module, "open_chat", open_scripted)
    return scripted


def say_lines(monkeypatch: pytest.MonkeyPatch, *lines: str) -> int:
    monkeypatch.setattr(sys, "stdin", io.StringIO("".join(f"{line}\n" for line in lines)))
    return chat("ws://nowhere/mcp", "Aria", "player")


def test_each_line_of_a_pipe_is_one_message(
    client: ScriptedClient, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert say_lines(monkeypatch, "Hello, who are you?", "", "And now?") == 0
    assert client.heard == ["Hello, who are you?", "And now?"]
    assert capsys.readouterr().out.splitlines() == [
        "You are talking to Aria. An elven bard.",
        "The words come from small on an OpenAI-compatible server.",
        "Type a message and press Enter; /help lists the commands.",
        "you> Hello, who are you?",
        "Aria> Well met!",
        "you> And now?",
        "Aria> Well met!",
    ]


def test_a_canned_reply_is_marked(
    client: ScriptedClient, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    client.fallback = True
    assert say_lines(monkeypatch, "Hello") == 0
    assert capsys.readouterr().out.endswith(f"Aria> Well met!\n{FALLBACK_MARK}\n")


def test_a_reply_without_memory_is_marked(
    client: ScriptedClient, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    client.forgetful = True
    assert say_lines(monkeypatch, "Hello") == 0
    assert capsys.readouterr().out.endswith(f"Aria> Well met!\n{FORGETFUL_MARK}\n")


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("/list", "  Kira: scholar (not available now)"),
        ("/persona Kira", "You are talking to Kira. An elven bard."),
        ("/memory tea", "  - They like tea."),
        ("/memory nothing", "  Nothing comes to mind."),
        ("/help", "  /list           who is there"),
        ("/dance", "/dance is no command:"),
        ("/persona", "/persona is no command:"),
    ],
)
def test_commands(
    client: ScriptedClient,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    line: str,
    shown: str,
) -> None:
    assert say_lines(monkeypatch, line) == 0
    assert shown in capsys.readouterr().out.splitlines()
    assert not client.heard


def test_quit_ends_it_before_the_input_does(client: ScriptedClient, monkeypatch: pytest.MonkeyPatch) -> None:
    assert say_lines(monkeypatch, "/quit", "unheard") == 0
    assert not client.heard


def test_a_failed_request_is_one_sentence_and_is_remembered_at_the_end(
    client: ScriptedClient, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert say_lines(monkeypatch, "/persona Nobody", "Hello") == 1
    shown = capsys.readouterr()
    assert shown.err == "Persona not found: Nobody.\n"
    assert client.heard == ["Hello"]


def test_a_lost_connection_ends_it(
    client: ScriptedClient, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    client.failure = ChatFailure("The gateway closed the connection.", final=True)
    assert say_lines(monkeypatch, "Hello", "unheard") == 1
    assert client.heard == ["Hello"]
    assert capsys.readouterr().err == "The gateway closed the connection.\n"


def test_bytes_that_are_no_text_do_not_end_it(client: ScriptedClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"caf\xe9?\n"), encoding="utf-8"))
    assert chat("ws://nowhere/mcp", "Aria", "player") == 0
    assert client.heard == ["caf\ufffd?"]
