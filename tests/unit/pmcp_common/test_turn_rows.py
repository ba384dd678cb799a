"""The rows a reply leaves behind."""

from __future__ import annotations

import pytest

from pmcp_common.contracts.jobs import End
from pmcp_common.turn_rows import has_effects


@pytest.mark.parametrize(
    ("state", "response_type", "effects"),
    [
        ("done", "direct", True),
        ("done", "closing", True),
        ("done", "fallback", False),
        ("cancelled", "direct", False),
        ("failed", "direct", False),
    ],
)
def test_only_what_the_persona_said_to_the_end_has_effects(state: str, response_type: str, effects: bool) -> None:
    end = End("s", 1, 1, state, "stop", "", "", "m", "u", "p", "Aria", response_type=response_type)
    assert has_effects(end) is effects
