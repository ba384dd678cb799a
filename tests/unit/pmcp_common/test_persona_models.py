"""What clients send to make a persona: every field kept, unknown ones in `extras`, bounds that name the field."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from pmcp_common.contracts.persona_models import PersonaCreateParams, PersonaUpdateParams

BOT = {
    "name": " Mira ",
    "full_name": "Mira of the Lake",
    "description": "A ferrywoman",
    "background": "Born on a boat",
    "backstory": "She never learned to swim.",
    "speaking_style": "Short",
    "interests": "boats, fish",
    "goals": ["a new boat"],
    "personality_traits": ["calm", "wry"],
    "topic_preferences": {"boats": 90},
    "occupation": "ferrywoman",
    "extras": {"colour": "blue"},
    "websocket_id": "conn_1",
    "sender": "@bot:localhost",
}


def test_every_field_of_a_bot_is_kept() -> None:
    draft = PersonaCreateParams.model_validate(BOT).draft()
    assert (draft.name, draft.full_name, draft.background) == ("Mira", "Mira of the Lake", "Born on a boat")
    assert (draft.interests, draft.goals) == (("boats", "fish"), ("a new boat",))
    assert draft.personality_traits == {"calm": True, "wry": True}
    assert draft.extras == {"occupation": "ferrywoman", "colour": "blue"}


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"name": ""},
        {"name": "   "},
        {"name": "a\0b"},
        {"name": "a\nb"},
        {"name": "x" * 201},
        {"name": "A", "charisma": 21},
        {"name": "A", "topic_preferences": {"music": 101}},
        {"name": "A", "description": "x" * 4001},
        {"name": "A", "odd": "x" * 9000},
        {"name": "A", "odd": "a\0b"},
        {"name": "A", "odd": ["\ud800"]},
        {"name": "A", "odd": 10**400},
        {"name": "A", "odd": float("inf")},
        {"name": "A", "personality_traits": {"warm": float("nan")}},
        {"name": "A", "personality_traits": {"deep": [[[[[[[[[[1]]]]]]]]]]}},
        {"name": "A", "interests": ["x"] * 65},
        {"name": "A", "priority": "bored"},
    ],
)
def test_what_is_out_of_bounds_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        PersonaCreateParams.model_validate(wrong)


def test_null_is_the_same_as_absent() -> None:
    draft = PersonaCreateParams.model_validate({"name": "A", "description": None, "charisma": None, "x": None}).draft()
    assert (draft.description, draft.charisma, draft.extras) == ("", 10, {})


def test_an_update_names_only_what_it_changes() -> None:
    change = PersonaUpdateParams.model_validate({"persona_id": "aria", "charisma": 3, "hair": "red"}).change()
    assert change.model_dump(exclude_none=True) == {"charisma": 3, "extras": {"hair": "red"}}


@given(st.dictionaries(st.text(min_size=1, max_size=20), st.integers() | st.text(max_size=50), max_size=10))
def test_unknown_fields_never_break_the_known_ones(more: dict[str, Any]) -> None:
    try:
        draft = PersonaCreateParams.model_validate({**more, "name": "Mira"}).draft()
    except ValidationError:
        return
    assert draft.name == "Mira"


def test_a_persona_of_a_name_alone_has_the_defaults() -> None:
    draft = PersonaCreateParams.model_validate({"name": "Mira"}).draft()
    assert (draft.charisma, draft.intelligence, draft.social_rank) == (10, 10, "commoner")
    assert (draft.priority, draft.energy, draft.available_time) == ("none", 100, 300)
    assert (draft.description, draft.personality_traits, draft.topic_preferences) == ("", {}, {})
