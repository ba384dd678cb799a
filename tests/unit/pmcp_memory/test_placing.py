"""Where a turn stands: number, sitting, the question before it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from pmcp_common.contracts.memories import Role, Turn
from pmcp_memory.placing import StoredTurn, place, text_to_embed

START = datetime(2026, 3, 1, 12, tzinfo=UTC)


def turn(number: int, content: str, minutes: float = 0, role: Role = Role.USER, **metadata: Any) -> Turn:
    return Turn(
        message_id=f"m{number}",
        conversation_id="c1",
        persona_id="aria",
        player_id="p1",
        role=role,
        content=content,
        created_at=START + timedelta(minutes=minutes),
        metadata=metadata,
    )


def test_a_question_of_the_other_leads_into_its_answer() -> None:
    question = turn(1, "Nice day. Where do you live?")
    answer = turn(2, "By the sea.", 1, Role.ASSISTANT)
    places = place([StoredTurn(question, 1, None, 0), StoredTurn(answer, 2, question, 0)])
    assert places["m1"].lead_in == ""
    assert places["m2"].lead_in == "Where do you live?"
    assert (places["m1"].said_by, places["m2"].said_by) == ("player", "persona")
    assert text_to_embed(places["m2"].lead_in, "By the sea.") == "Where do you live? By the sea."


def test_a_long_silence_begins_another_sitting() -> None:
    first, second, third = turn(1, "one"), turn(2, "two", 59), turn(3, "Three?", 180, Role.ASSISTANT)
    fourth = turn(4, "four", 181)
    places = place(
        [
            StoredTurn(first, 1, None, 0),
            StoredTurn(second, 2, first, 0),
            StoredTurn(third, 3, second, 0),
            StoredTurn(fourth, 4, third, 0),
        ]
    )
    assert [places[f"m{number}"].episode for number in (1, 2, 3, 4)] == [1, 1, 2, 2]


def test_sittings_go_on_counting_from_what_is_stored() -> None:
    before, now = turn(1, "one"), turn(2, "two", 300)
    assert place([StoredTurn(now, 2, before, 7)])["m2"].episode == 8
    assert place([StoredTurn(turn(3, "three", 301), 3, now, 8)])["m3"].episode == 8


def test_metadata_that_is_none_of_ours_says_nothing() -> None:
    odd = turn(1, "one", speaker=7, world_time="long ago", session_id=["x"])
    stood = place([StoredTurn(odd, 1, None, 0)])["m1"]
    assert (stood.speaker, stood.world_time, stood.session_id) == (None, None, None)
    beyond = turn(3, "three", world_time="9999-12-31T23:59:59-14:00")
    assert place([StoredTurn(beyond, 3, None, 0)])["m3"].world_time is None
    good = turn(2, "two", speaker=" Mira ", world_time="1203-05-01T00:00:00", session_id="s")
    stood = place([StoredTurn(good, 2, odd, 0)])["m2"]
    assert (stood.speaker, stood.session_id) == ("Mira", "s")
    assert stood.world_time == datetime(1203, 5, 1, tzinfo=UTC)
