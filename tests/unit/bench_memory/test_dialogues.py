"""Dialogues are read as they are written, ours and LoCoMo's, and ours are sound."""

from __future__ import annotations

from pathlib import Path

import orjson

from bench.memory.dialogues import pool, read_first_person, read_locomo


def test_our_own_set_is_large_and_every_question_has_its_evidence() -> None:
    dialogues = read_first_person()
    queries = [query for dialogue in dialogues for query in dialogue.queries]
    assert len(queries) >= 150
    assert len({dialogue.speakers for dialogue in dialogues}) == len(dialogues)
    assert {query.category for query in queries} == {1, 2, 3, 4}
    for dialogue in dialogues:
        ids = [turn.id for turn in dialogue.turns]
        assert len(ids) == len(set(ids))
        assert all(query.evidence and query.evidence <= set(ids) for query in dialogue.queries)
        assert [turn.at for turn in dialogue.turns] == sorted(turn.at for turn in dialogue.turns)


def test_a_locomo_file_is_read_with_its_oddities(tmp_path: Path) -> None:
    sample = {
        "sample_id": "c",
        "conversation": {
            "speaker_a": "Ann",
            "speaker_b": "Ben",
            "session_1": [
                {"speaker": "Ann", "dia_id": "D1:1", "text": "Look!", "blip_caption": "a red kite"},
                {"speaker": "Ben", "dia_id": "D1:2", "text": "Nice."},
            ],
            "session_1_date_time": "1:56 pm on 8 May, 2023",
            "session_2": [{"speaker": "Ben", "dia_id": "D2:1", "text": "Hi."}],
            "session_2_date_time": "10:00 am on 9 May, 2023",
        },
        "qa": [
            {"question": "What?", "evidence": ["D1:01; D2:1"], "category": 1},
            {"question": "None?", "evidence": [], "category": 4},
            {"question": "Gone?", "evidence": ["D9:9"], "category": 4},
        ],
    }
    path = tmp_path / "locomo.json"
    path.write_bytes(orjson.dumps([sample]))
    (dialogue,) = read_locomo(path)
    assert [turn.text for turn in dialogue.turns] == ["Look! [a red kite]", "Nice.", "Hi."]
    assert [(turn.session, turn.by_player) for turn in dialogue.turns] == [(1, True), (1, False), (2, False)]
    assert [(query.text, sorted(query.evidence)) for query in dialogue.queries] == [("What?", ["D1:1", "D2:1"])]
    assert dialogue.turns[0].at.isoformat() == "2023-05-08T13:56:00+00:00"


def test_pooled_ids_say_where_they_come_from() -> None:
    dialogues = read_first_person()
    pooled = pool(dialogues)
    assert len(pooled.turns) == sum(len(dialogue.turns) for dialogue in dialogues)
    assert all(turn.id.split("/")[0] in {dialogue.id for dialogue in dialogues} for turn in pooled.turns)
