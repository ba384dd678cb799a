"""What a call leaves behind in a client: whom the session talks to, should the session have to be made again."""

from __future__ import annotations

from typing import Any

import pytest

from pmcp_client.messages import Messages

KIRA = {"player_id": "p1", "persona_id": "kira"}


@pytest.mark.parametrize(
    ("method", "params", "result", "after"),
    [
        ("persona.switch", {"persona_id": "aria"}, {}, {"player_id": "p1", "persona_id": "aria"}),
        ("state.load", {}, {"current_persona_id": "aria"}, {"player_id": "p1", "persona_id": "aria"}),
        ("state.load", {}, {"current_persona_id": None}, None),
        ("session.clear", {}, {}, None),
        ("persona.list", {}, {}, KIRA),
    ],
)
def test_a_call_may_change_whom_the_session_talks_to(
    method: str, params: dict[str, Any], result: dict[str, Any], after: dict[str, Any] | None
) -> None:
    messages = Messages(lambda: 0.0, "p1")
    messages.persona = KIRA
    messages.answered(method, params, result)
    assert messages.persona == after


@pytest.mark.parametrize(
    ("method", "twice"),
    [
        ("persona.chat_stream", True),
        ("conversation.send_message", True),
        ("persona.list", True),
        ("memory.export", True),
        ("memory.erase", True),
        ("conversation.advance", False),
        ("memory.store", False),
        ("no.such_method", False),
    ],
)
def test_only_what_does_no_harm_may_be_sent_twice(method: str, twice: bool) -> None:
    assert Messages(lambda: 0.0).complete(method, {})[1] is twice
