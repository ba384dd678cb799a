"""Who the model is to be: everything a client said, in a fixed order, short, and the same bytes each time."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pmcp_llm_worker.persona_text import MAX_PART_CHARS, persona_text
from tests.unit.pmcp_llm_worker.doubles import aria


def test_a_persona_without_more_is_told_as_before() -> None:
    assert persona_text(aria()) == (
        "You are Aria. Aria is an elven bard. She was born in Silverglade. She speaks warmly."
    )


def test_every_field_of_a_bot_is_told_in_a_fixed_order() -> None:
    told = persona_text(
        aria(
            full_name="Aria Silverleaf",
            backstory="She once sang for a dragon.",
            personality_traits={"warm": 90, "shy": 10, "temper": "gentle", "patient": 50},
            interests=("music", "roads"),
            goals=("find the lost verse",),
            extras={"hair_colour": "silver", "age": 140, "tags": ["elf"], "live": True, "notes": "x" * 101},
        )
    )
    assert told == (
        "You are Aria. Your full name is Aria Silverleaf. Aria is an elven bard. She was born in Silverglade. "
        "She once sang for a dragon. Aria's character: warm, little shy, temper: gentle. "
        "Aria is interested in music, roads. What Aria wants: find the lost verse. "
        "More about Aria: age: 140, hair colour: silver. She speaks warmly."
    )


def test_the_order_of_traits_does_not_depend_on_how_they_were_stored() -> None:
    one = persona_text(aria(personality_traits={"warm": 90, "brave": 90, "calm": 95}))
    assert one == persona_text(aria(personality_traits={"calm": 95, "brave": 90, "warm": 90}))
    assert "calm, brave, warm" in one


def test_a_long_story_ends_with_a_whole_sentence() -> None:
    told = persona_text(aria(background="She walked on. " * 500, description="", speaking_style=""))
    assert len(told) < MAX_PART_CHARS + 50
    assert told.endswith("She walked on.")


def test_a_backstory_that_repeats_the_background_is_told_once() -> None:
    assert persona_text(aria(backstory="She was born in Silverglade.")) == persona_text(aria())


@given(
    st.dictionaries(st.text(max_size=20), st.integers() | st.text(max_size=40) | st.booleans(), max_size=12),
    st.lists(st.text(min_size=1, max_size=200), max_size=64),
    st.text(max_size=8000),
)
def test_whatever_a_persona_holds_its_text_is_bounded(
    traits: dict[str, object], interests: list[str], story: str
) -> None:
    persona = aria(
        personality_traits=traits, interests=tuple(interests), background=story, backstory=story[::-1], extras=traits
    )
    assert len(persona_text(persona)) < 4 * MAX_PART_CHARS + 6000
    assert persona_text(persona) == persona_text(persona)
