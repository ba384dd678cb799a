"""What a turn weighs once it is a memory, what is not kept, and what is known to have been said before."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from pmcp_memory.importance import importance
from pmcp_memory.restating import older_wording_key
from tests.integration.pmcp_memory.conftest import Service

NOON, THREE = (datetime(2026, 3, 1, hour, tzinfo=UTC).isoformat() for hour in (12, 15))


async def remember(service: Service, turn: dict[str, Any], standing: dict[str, Any] | None) -> None:
    await service.commit(turn)
    body = {"message_ids": [turn["message_id"]], "standing": standing}
    assert (await service.http.post("/v1/local/remember", json=body)).json() == {"stored": 1}


async def test_interest_and_relationship_weigh(service: Service) -> None:
    text = "I play music in the tavern"
    standing = {"topic_preferences": {"music": 80}, "relationship_strength": 0.5}
    await remember(service, service.turn(text), None)
    await remember(service, service.turn(text, player_id="p2"), standing)
    stranger, friend = await service.rows.fetch("SELECT importance FROM memory.memories ORDER BY player_id")
    assert stranger["importance"] == pytest.approx(importance(text))
    assert friend["importance"] == pytest.approx(importance(text) + 0.05 * 0.8 + 0.10 * 0.5)


@pytest.mark.parametrize("standing", [{"relationship_strength": 2}, {"topic_preferences": {"music": "much"}}, "near"])
async def test_a_standing_that_is_none_is_refused(service: Service, standing: object) -> None:
    turn = service.turn("my dog is called Rex")
    await service.commit(turn)
    body = {"message_ids": [turn["message_id"]], "standing": standing}
    assert (await service.http.post("/v1/local/remember", json=body)).status_code == 422
    assert await service.rows.fetchval("SELECT count(*) FROM memory.memories") == 0


async def test_filler_is_not_kept_and_those_beside_it_stay_together(service: Service) -> None:
    turns = [service.turn(text) for text in ("My sister is Mia", "lol", "She lives in Merrow")]
    await service.commit(*turns)
    assert (await service.remember(*turns)).json() == {"stored": 2}
    rows = await service.rows.fetch("SELECT ordinal, episode FROM memory.memories ORDER BY ordinal")
    assert [tuple(row) for row in rows] == [(1, 1), (3, 1)]


async def test_a_greeting_that_opens_a_sitting_is_kept_for_those_after_it(service: Service) -> None:
    told = await service.learn("My sister is Mia", created_at=NOON)
    await service.learn("Hi Aria, how are you?", created_at=THREE)
    await service.learn("I moved to Merrow", created_at=THREE)
    rows = await service.rows.fetch("SELECT episode, importance FROM memory.memories ORDER BY ordinal")
    assert [row["episode"] for row in rows] == [1, 2, 2]
    assert rows[1]["importance"] == pytest.approx(0.1)
    assert told["message_id"] == "m1"


async def test_the_same_said_in_short_is_one_memory_with_both_sources(service: Service) -> None:
    await service.learn("My sister's called Mia")
    await service.learn("my sister is called Mia!")
    rows = await service.rows.fetch("SELECT content, source_message_ids FROM memory.memories")
    assert [tuple(row) for row in rows] == [("My sister's called Mia", ["m1", "m2"])]


async def test_its_opposite_is_another_memory(service: Service) -> None:
    await service.learn("I like it")
    await service.learn("I do not like it")
    await service.learn("I don't like it")
    assert await service.rows.fetchval("SELECT count(*) FROM memory.memories") == 2


async def test_what_a_memory_with_an_older_key_says_is_not_said_twice(service: Service) -> None:
    text = "My sister's called Mia"
    await service.learn(text)
    await service.rows.execute("UPDATE memory.memories SET wording_key = $1", older_wording_key(text))
    await service.learn("My sister's called Mia!")
    assert await service.rows.fetchval("SELECT count(*) FROM memory.memories") == 1
