"""What a model learned is private, kept once, says what it was made of, and ends with any of its turns."""

from __future__ import annotations

from typing import Any

import pytest

from pmcp_common.contracts.learning import digest_of
from tests.integration.pmcp_memory.conftest import Service

SIDE = {"persona_id": "aria", "player_id": "p1"}
LESSONS = (("learning", "The canary belongs to Ilse."), ("reflection", "They trust each other."))


async def task(service: Service, batch: int = 2, **changes: str) -> list[dict[str, Any]]:
    query = {**SIDE, "batch": str(batch), **changes}
    answer = await service.http.get("/v1/local/conversations/c1/learning-task", params=query)
    assert answer.status_code == 200, answer.text
    turns: list[dict[str, Any]] = answer.json()["turns"]
    return turns


def draft_of(turns: list[dict[str, Any]], lessons: tuple[tuple[str, str], ...] = LESSONS) -> dict[str, Any]:
    return {
        **SIDE,
        "message_ids": [turn["message_id"] for turn in turns],
        "digest": digest_of((turn["message_id"], turn["content"]) for turn in turns),
        "model": "m1",
        "lessons": [{"memory_type": kind, "content": content} for kind, content in lessons],
    }


async def learn(service: Service, draft: dict[str, Any]) -> tuple[int, Any]:
    answer = await service.http.post("/v1/local/conversations/c1/lessons", json=draft)
    return answer.status_code, answer.json()


async def talked(service: Service) -> list[dict[str, Any]]:
    """Two turns, remembered, and what a model is to be asked about."""
    one = await service.learn("I have a sister, her canary sings all day long")
    await service.learn("We met her in Merrow, on the last day of the fair", created_at="2026-03-01T12:00:05Z")
    turns = await task(service)
    assert turns[0]["message_id"] == one["message_id"]
    return turns


async def lessons(service: Service, columns: str = "content") -> list[Any]:
    sql = f"SELECT {columns} FROM memory.memories WHERE learned_from <> '{{}}' ORDER BY memory_type, content"
    return [tuple(row) for row in await service.rows.fetch(sql)]


async def test_lessons_are_private_memories_of_the_turns_with_no_speaker(service: Service) -> None:
    assert await learn(service, draft_of(await talked(service))) == (200, {"stored": 2})
    columns = "memory_type, persona_id, player_id, visibility, said_by, speaker, learned_from, embedding_model"
    owner = ("aria", "p1", "private", None, None, ["m1", "m2"], "words")
    assert await lessons(service, columns) == [("learning", *owner), ("reflection", *owner)]
    assert "The canary belongs to Ilse." in await service.search("the canary belongs to Ilse")
    assert "The canary belongs to Ilse." not in await service.search("the canary belongs to Ilse", player_id="p2")
    one = await service.rows.fetchval("SELECT id FROM memory.memories WHERE memory_type = 'learning'")
    record = (await service.http.get(f"/v1/local/memories/{one}", params=SIDE)).json()
    assert (record["source_message_ids"], record["speaker"]) == (["m1", "m2"], None)
    assert record["metadata"] == {"made_by": "model", "model": "m1"}


async def test_a_repeated_draft_changes_nothing_and_nothing_is_due_then(service: Service) -> None:
    draft = draft_of(await talked(service))
    await learn(service, draft)
    kept = await lessons(service, "id, content, updated_at, xmin::text")
    assert await learn(service, draft) == (200, {"stored": 0})
    other = draft_of([{"message_id": "m1", "content": "x"}, {"message_id": "m2", "content": "y"}])
    assert await learn(service, other) == (200, {"stored": 0})
    assert await lessons(service, "id, content, updated_at, xmin::text") == kept
    assert await task(service) == []


async def test_nothing_learned_is_done_too(service: Service) -> None:
    assert await learn(service, draft_of(await talked(service), ())) == (200, {"stored": 0})
    assert await lessons(service) == []
    assert await task(service) == []


async def test_fewer_turns_than_asked_for_are_not_due(service: Service) -> None:
    await service.learn("I have a sister, her canary sings all day long")
    assert await task(service, 2) == []
    assert len(await task(service, 1)) == 1
    assert await task(service, 1, player_id="p2") == []


@pytest.mark.parametrize("source", ["m1", "m2"])
async def test_forgetting_a_source_takes_what_was_learned_from_it(service: Service, source: str) -> None:
    await learn(service, draft_of(await talked(service)))
    one = await service.rows.fetchval("SELECT id FROM memory.memories WHERE $1 = ANY (source_message_ids)", source)
    answer = await service.http.delete(f"/v1/local/memories/{one}", params=SIDE)
    assert answer.json() == {"memories": 3, "turns": 1, "summaries": 0}
    assert await lessons(service) == []


async def test_forgetting_a_source_takes_lessons_out_of_saves_too(service: Service) -> None:
    await learn(service, draft_of(await talked(service)))
    save = {"player_id": "p1", "session_id": "s", "principal": "local"}
    await service.rows.execute(
        "INSERT INTO memory.saves (tenant_id, id, player_id, session_id, principal, conversations, created_at, cut)"
        " VALUES ('local', 'save-1', $1, $2, $3, 1, now(), nextval('memory.moments'))",
        *save.values(),
    )
    one = await service.rows.fetchval("SELECT id FROM memory.memories WHERE 'm1' = ANY (source_message_ids)")
    await service.http.delete(f"/v1/local/memories/{one}", params=SIDE)
    for table in ("memories", "put_away_memories", "turns", "put_away_turns"):
        dump = await service.rows.fetchval(f"SELECT string_agg(t::text, ' ') FROM memory.{table} t")
        assert "canar" not in (dump or "")


async def test_editing_a_source_takes_what_was_learned_and_lets_it_be_learned_anew(service: Service) -> None:
    await learn(service, draft_of(await talked(service)))
    one = await service.rows.fetchval("SELECT id FROM memory.memories WHERE 'm1' = ANY (source_message_ids)")
    change = {**SIDE, "content": "I have a brother"}
    assert (await service.http.patch(f"/v1/local/memories/{one}", json=change)).status_code == 200
    assert await lessons(service) == []
    assert [turn["content"] for turn in await task(service, 1)] == ["I have a brother"]


async def test_erasing_a_player_takes_lessons(service: Service) -> None:
    await learn(service, draft_of(await talked(service)))
    assert (await service.http.delete("/v1/local/players/p1")).json() == {"turns": 2, "memories": 4}
    assert await lessons(service) == []


async def test_forgetting_a_lesson_takes_it_alone_and_it_is_not_learned_again(service: Service) -> None:
    await learn(service, draft_of(await talked(service)))
    one = await service.rows.fetchval("SELECT id FROM memory.memories WHERE memory_type = 'learning'")
    answer = await service.http.delete(f"/v1/local/memories/{one}", params=SIDE)
    assert answer.json() == {"memories": 1, "turns": 0, "summaries": 0}
    assert await lessons(service) == [("They trust each other.",)]
    assert await task(service, 1) == []


async def test_a_lesson_is_edited_alone_and_not_merged(service: Service) -> None:
    turns = await talked(service)
    await learn(service, draft_of(turns))
    one = await service.rows.fetchval("SELECT id FROM memory.memories WHERE memory_type = 'learning'")
    other = await service.rows.fetchval("SELECT id FROM memory.memories WHERE 'm1' = ANY (source_message_ids)")
    merged = {**SIDE, "into": other, "others": [one]}
    assert (await service.http.post("/v1/local/memories/merge", json=merged)).status_code == 409
    change = {**SIDE, "content": "The parrot belongs to Ilse."}
    assert (await service.http.patch(f"/v1/local/memories/{one}", json=change)).status_code == 200
    said = await service.rows.fetch("SELECT content FROM memory.turns ORDER BY position")
    assert [row["content"] for row in said] == [turn["content"] for turn in turns]


async def test_a_draft_about_turns_that_were_changed_or_forgotten_is_refused(service: Service) -> None:
    draft = draft_of(await talked(service))
    await service.rows.execute("UPDATE memory.turns SET content = 'other' WHERE message_id = 'm1'")
    assert (await learn(service, draft))[0] == 409
    await service.rows.execute("DELETE FROM memory.turns WHERE message_id = 'm1'")
    assert (await learn(service, draft))[0] == 409
    assert (await learn(service, draft | {"player_id": "p2"}))[0] == 409
    assert await lessons(service) == []


async def test_a_failed_embedding_stores_nothing_and_the_turns_stay_to_be_learned_from(service: Service) -> None:
    turns = await talked(service)
    service.embedder.broken = True
    assert (await learn(service, draft_of(turns)))[0] == 503
    assert await task(service) == turns


async def test_what_was_learned_after_a_save_is_not_in_it(service: Service) -> None:
    """It belongs to the newest of its turns, however late it came."""
    await learn(service, draft_of(await talked(service)))
    rows = await service.rows.fetch(
        "SELECT m.since = t.since AS same FROM memory.memories m, memory.turns t"
        " WHERE m.learned_from <> '{}' AND t.message_id = 'm2'"
    )
    assert [row["same"] for row in rows] == [True, True]
