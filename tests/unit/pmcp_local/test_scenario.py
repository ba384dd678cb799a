"""Scenario files, what they expect, and the report of what happened."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pmcp_local.scenario import (
    Conversation,
    Record,
    Scenario,
    Spoken,
    WrongScenario,
    disappointments,
    read_record,
    read_scenario,
)
from pmcp_local.simulation_report import summary, transcript
from tests.house.sources import ROOT


def spoken(speaker: str = "Aria", **changes: Any) -> Spoken:
    fields = {
        "speaker": speaker,
        "listener": "Kira",
        "content": "The road is long.",
        "response_type": "direct",
        "routing": "shortened",
        "score": 61.0,
        "tokens": 5,
        "seconds": 0.5,
        "at_seconds": 1.0,
    }
    return Spoken.model_validate(fields | changes)


def record(*turns: Spoken, expect: dict[str, Any] | None = None, **changes: Any) -> Record:
    fields = {
        "conversation_id": "conv_1",
        "topic": "travel",
        "participants": ("Aria", "Kira"),
        "token_budget": 20,
        "turns": turns,
        "end": "farewell",
        "cooldowns": {"Aria": 300.0, "Kira": 300.0},
    }
    scenario = Scenario.model_validate({"expect": expect or {}})
    return Record(scenario=scenario, conversations=(Conversation.model_validate(fields | changes),), seconds=3.0)


TWO = (spoken("Aria"), spoken("Kira"))


def test_a_scenario_is_a_toml_file(tmp_path: Path) -> None:
    path = tmp_path / "s.toml"
    path.write_text('personas = ["a", "b", "c"]\nseed = 7\n[expect]\nmin_turns = 2\nends = ["farewell"]\n')
    scenario = read_scenario(path)
    assert (scenario.personas, scenario.seed, scenario.expect.min_turns) == (("a", "b", "c"), 7, 2)


def test_the_scenario_of_the_documents_can_be_played() -> None:
    assert read_scenario(ROOT / "docs/scenario.toml").expect.all_speak is True


def test_every_mistake_of_a_scenario_is_told(tmp_path: Path) -> None:
    path = tmp_path / "s.toml"
    path.write_text('personas = ["a"]\nminuets = 3\n')
    with pytest.raises(WrongScenario) as wrong:
        read_scenario(path)
    assert "personas" in str(wrong.value)
    assert "minuets" in str(wrong.value)
    with pytest.raises(WrongScenario, match="cannot be read"):
        read_scenario(tmp_path / "none.toml")


def test_what_was_expected_is_no_disappointment() -> None:
    expect = {"min_turns": 2, "max_turns": 2, "min_conversations": 1, "all_speak": True, "mentions": ["ROAD"]}
    assert disappointments(record(*TWO, expect=expect | {"no_fallback": True, "ends": ["farewell"]})) == []


@pytest.mark.parametrize(
    ("turns", "expect", "changes", "text"),
    [
        (TWO, {"min_turns": 3}, {}, "fewer than 3"),
        (TWO, {"max_turns": 1}, {}, "more than 1"),
        (TWO, {"min_conversations": 2}, {}, "fewer than 2"),
        (TWO[:1], {"all_speak": True}, {}, "Kira said nothing"),
        ((spoken(tokens=21),), {}, {}, "21 tokens, more than 20"),
        ((spoken(), spoken()), {}, {}, "twice in a row"),
        (TWO, {}, {"cooldowns": {"Aria": 0.0}}, "does not rest"),
        (TWO, {"ends": ["farewell"]}, {"end": "out of time"}, "ended by out of time"),
        (TWO, {"mentions": ["comet"]}, {}, "Nobody mentioned comet"),
        ((spoken(response_type="fallback"),), {"no_fallback": True}, {}, "no model"),
        (TWO, {"max_reply_seconds": 0.1}, {}, "took 0.5 s"),
        ((spoken(score=12.0),), {}, {}, "went on at a score of 12"),
    ],
)
def test_each_disappointment_is_a_sentence(
    turns: tuple[Spoken, ...], expect: dict[str, Any], changes: dict[str, Any], text: str
) -> None:
    assert text in "\n".join(disappointments(record(*turns, expect=expect, **changes)))


def test_a_record_can_be_read_again(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    path.write_text(record(*TWO).model_dump_json())
    assert read_record(path) == record(*TWO)
    path.write_text("{}")
    with pytest.raises(WrongScenario, match="no record"):
        read_record(path)


def test_transcript_and_summary_are_readable() -> None:
    text = "\n".join([*transcript(record(*TWO)), *summary(record(*TWO))])
    assert "Aria and Kira talk about travel:" in text
    assert "  Aria [61, shortened]: The road is long." in text
    assert "Aria and Kira  travel  2      10/20   61     farewell" in text
