"""What surrounds a message becomes bounded plain sentences."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pmcp_common.contracts.talks import Circumstances
from pmcp_llm_worker.surroundings import MAX_CHARS, describe

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=400),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=20), inner, max_size=4),
    max_leaves=20,
)


def test_nothing_known_says_nothing() -> None:
    assert describe(Circumstances(), {}, "Aria") == ""


def test_sights_room_and_situation_are_told() -> None:
    text = describe(
        Circumstances(room="#tavern", notes={"hour": "dusk", "alarm": False}),
        {"scene": {"place": "a hall", "objects": ["lute", "mug"]}},
        "Aria",
    )
    assert "in the room #tavern" in text
    assert "hour: dusk; alarm: no" in text
    assert "What is to be seen (scene): place: a hall; objects: lute, mug." in text


def test_the_other_persona_and_the_topic_are_named() -> None:
    text = describe(Circumstances(topic="magic", speaker_name="Kira"), {}, "Aria")
    assert text == "Aria talks with Kira about magic."


@given(st.dictionaries(st.text(max_size=20), JSON, max_size=5))
def test_whatever_is_seen_is_one_bounded_line(seen: dict[str, object]) -> None:
    text = describe(Circumstances(notes=seen), seen, "Aria")
    assert len(text) <= MAX_CHARS
    assert "\n" not in text
