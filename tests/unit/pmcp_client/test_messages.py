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
    assert Messages(lambda: 0.0, "p1").persona_after(method, params, result, KIRA) == after
