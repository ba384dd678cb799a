"""What the memory service promises its callers, against a real PostgreSQL with pgvector."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.integration.pmcp_memory.conftest import Service

# ---- turns


async def test_a_committed_turn_is_read_back_as_it_was(service: Service) -> None:
    turn = service.turn("Grüße 🐕\nfrom afar", metadata={"model": "m", "nested": {"a": [1, None]}})
    assert (await service.commit(turn)).json() == {"stored": 1}
    read = (await service.http.get(f"/v1/local/turns/{turn['message_id']}")).json()
    assert {**read, "created_at": None} == {**turn, "created_at": None}


async def test_an_unknown_turn_is_not_found(service: Service) -> None:
    answer = await service.http.get("/v1/local/turns/nothing")
    assert (answer.status_code, answer.json()["code"]) == (404, -32011)


async def test_committing_again_changes_nothing(service: Service) -> None:
    first, second = service.turn("one"), service.turn("two")
    assert (await service.commit(first)).json() == {"stored": 1}
    assert (await service.commit({**first, "content": "changed"}, second, second)).json() == {"stored": 1}
    assert [turn["content"] for turn in (await service.context("x"))["turns"]] == ["one", "two"]


async def test_two_commits_of_the_same_turns_at_once_store_them_once(service: Service) -> None:
    turns = [service.turn(f"turn {number}") for number in range(10)]
    answers = await asyncio.gather(*(service.commit(*turns) for _ in range(5)))
    assert sum(answer.json()["stored"] for answer in answers) == 10
    assert await service.rows.fetchval("SELECT count(*) FROM memory.turns") == 10


@pytest.mark.parametrize(
    "fault",
    [
        {"content": "a\0b"},
        {"content": ""},
        {"content": "x" * 32_769},
        {"content": None},
        {"role": "system"},
        {"player_id": "x" * 201},
        {"player_id": "\0"},
        {"metadata": {"a": "\0"}},
        {"created_at": "yesterday"},
    ],
)
async def test_a_batch_with_one_bad_turn_stores_nothing(service: Service, fault: dict[str, Any]) -> None:
    answer = await service.commit(service.turn("good"), {**service.turn("bad"), **fault}, service.turn("good"))
    assert (answer.status_code, answer.json()["code"]) == (422, -32602)
    assert await service.rows.fetchval("SELECT count(*) FROM memory.turns") == 0


async def test_what_only_the_database_refuses_is_a_coded_error_and_stores_nothing(service: Service) -> None:
    await service.rows.execute(
        "ALTER TABLE memory.turns DROP CONSTRAINT turns_content_check,"
        " ADD CONSTRAINT turns_content_check CHECK (content <> 'forbidden')"
    )
    answer = await service.commit(service.turn("good"), service.turn("forbidden"))
    assert (answer.status_code, answer.json()["code"]) == (422, -32602)
    assert await service.rows.fetchval("SELECT count(*) FROM memory.turns") == 0


async def test_the_largest_turn_and_a_full_batch_are_taken(service: Service) -> None:
    turns = [service.turn("é" * 16_384) for _ in range(64)]
    assert (await service.commit(*turns)).json() == {"stored": 64}


# ---- context


async def test_context_has_the_newest_turns_oldest_first(service: Service) -> None:
    for number in range(25):
        await service.commit(service.turn(f"turn {number}"))
    context = await service.context("anything")
    assert [turn["content"] for turn in context["turns"]] == [f"turn {number}" for number in range(5, 25)]
    assert len((await service.context("anything", max_turns=3))["turns"]) == 3
    assert (await service.context("anything", max_turns=0))["turns"] == []


async def test_a_new_conversation_is_empty_and_that_is_no_failure(service: Service) -> None:
    assert await service.context("Hello") == {"turns": [], "summary": None, "memories": [], "recall": "ok"}


async def test_the_summary_comes_with_the_turns_it_goes_before(service: Service) -> None:
    await service.commit(service.turn("one"), service.turn("two"))
    await service.rows.execute(
        "INSERT INTO memory.summaries (tenant_id, conversation_id, persona_id, player_id, content, upto_position)"
        " VALUES ('local', 'c1', 'aria', 'p1', 'They met.', 1), ('other', 'c1', 'aria', 'p1', 'Canary.', 1)"
    )
    context = await service.context("x")
    assert context["summary"] == "They met."
    assert len(context["turns"]) == 2
    assert (await service.context("x", max_turns=0))["summary"] == "They met."
    assert (await service.context("x", player_id="p2"))["summary"] is None


async def test_context_recalls_what_is_near_from_earlier_conversations(service: Service) -> None:
    await service.learn("my dog is called Rex", conversation_id="earlier")
    await service.learn("the harbour tax rose", conversation_id="earlier")
    context = await service.context("what is my dog called", max_memories=1)
    assert [memory["content"] for memory in context["memories"]] == ["my dog is called Rex"]
    memory = context["memories"][0]
    assert memory["similarity"] > 0.5
    assert memory["memory_type"] == "user_input"
    assert memory["visibility"] == "private"


async def test_what_the_turns_already_say_is_not_recalled(service: Service) -> None:
    await service.learn("my dog is called Rex")
    assert (await service.context("what is my dog called"))["memories"] == []
    recalled = (await service.context("what is my dog called", max_turns=0))["memories"]
    assert [memory["content"] for memory in recalled] == ["my dog is called Rex"]


async def test_a_broken_embedder_leaves_the_turns_and_says_so(service: Service) -> None:
    await service.learn("my dog is called Rex", conversation_id="earlier")
    await service.commit(service.turn("hello"))
    service.embedder.broken = True
    context = await service.context("what is my dog called")
    assert context["recall"] == "unavailable"
    assert context["memories"] == []
    assert [turn["content"] for turn in context["turns"]] == ["hello"]


async def test_a_hanging_vector_search_leaves_the_turns_and_says_so(service: Service) -> None:
    await service.commit(service.turn("hello"))
    lock = service.rows.transaction()
    await lock.start()
    await service.rows.execute("LOCK TABLE memory.memories IN ACCESS EXCLUSIVE MODE")
    context = await service.context("hello")
    await lock.rollback()
    assert context["recall"] == "unavailable"
    assert [turn["content"] for turn in context["turns"]] == ["hello"]


async def test_a_failing_vector_search_leaves_the_turns_and_says_so(service: Service) -> None:
    await service.learn("my dog is called Rex", conversation_id="c2")
    await service.commit(service.turn("hello"))
    await service.rows.execute("ALTER TABLE memory.memories RENAME COLUMN embedding TO gone")
    context = await service.context("hello", max_turns=1)  # full: there may be more than the turns say
    assert context["recall"] == "unavailable"
    assert [turn["content"] for turn in context["turns"]] == ["hello"]


async def test_a_conversation_that_is_in_the_turns_as_a_whole_is_not_searched(service: Service) -> None:
    turn = service.turn("my dog is called Rex")
    await service.commit(turn)
    await service.remember(turn)
    await service.rows.execute("ALTER TABLE memory.memories RENAME COLUMN embedding TO gone")
    context = await service.context("what is my dog called?")
    assert (context["recall"], context["memories"]) == ("ok", [])


async def test_recall_that_is_not_asked_for_needs_no_embedder(service: Service) -> None:
    service.embedder.broken = True
    assert (await service.context("x", max_memories=0))["recall"] == "ok"


# ---- remember


async def test_a_turn_is_remembered_once(service: Service) -> None:
    said, reply = service.turn("my dog is called Rex"), service.turn("A" + "h" * 60, role="assistant")
    await service.commit(said, reply)
    assert (await service.remember(said, reply)).json() == {"stored": 2}
    assert (await service.remember(said, reply, said)).json() == {"stored": 0}
    types = await service.rows.fetch("SELECT memory_type, importance FROM memory.memories ORDER BY memory_type")
    assert types[0]["memory_type"] == "persona_response"
    assert types[0]["importance"] == pytest.approx(0.6)


async def test_remembering_at_once_from_two_workers_stores_once(service: Service) -> None:
    turns = [service.turn(f"fact number {number}") for number in range(5)]
    await service.commit(*turns)
    answers = await asyncio.gather(*(service.remember(*turns) for _ in range(4)))
    assert sum(answer.json()["stored"] for answer in answers) == 5


async def test_a_short_reply_is_nothing_to_remember(service: Service) -> None:
    reply = service.turn("Aye.", role="assistant")
    await service.commit(reply)
    assert (await service.remember(reply)).json() == {"stored": 0}


async def test_a_failed_embedding_is_a_failure_and_a_retry_makes_it_good(service: Service) -> None:
    turn = service.turn("my dog is called Rex")
    await service.commit(turn)
    service.embedder.broken = True
    answer = await service.remember(turn)
    assert (answer.status_code, answer.json()["code"], answer.json()["retryable"]) == (503, -32002, True)
    service.embedder.broken = False
    assert (await service.remember(turn)).json() == {"stored": 1}


async def test_a_turn_that_is_not_committed_fails_the_whole_request(service: Service) -> None:
    turn = service.turn("my dog is called Rex")
    await service.commit(turn)
    answer = await service.remember(turn, service.turn("never committed"))
    assert (answer.status_code, answer.json()["data"]) == (404, {"message_ids": ["m2"]})
    assert await service.rows.fetchval("SELECT count(*) FROM memory.memories") == 0


# ---- search and statistics


async def test_search_filters_by_type_importance_and_number(service: Service) -> None:
    await service.learn("my dog is called Rex and I love him!")
    await service.learn("the dog is a grey animal that sleeps beside the fire", role="assistant")
    await service.learn("hello, I see")
    assert len(await service.search("dog")) == 3
    assert len(await service.search("dog", n_results=1)) == 1
    assert await service.search("dog", memory_type="persona_response", min_importance=0.6) == [
        "the dog is a grey animal that sleeps beside the fire"
    ]
    assert "hello, I see" not in await service.search("hello", min_importance=0.2)


async def test_a_failed_search_is_an_error_not_an_empty_list(service: Service) -> None:
    service.embedder.broken = True
    answer = await service.http.post(
        "/v1/local/memories/search", json={"persona_id": "aria", "player_id": "p1", "query": "dog"}
    )
    assert answer.status_code == 503


async def test_vectors_of_another_model_are_not_compared_and_words_find_the_memory_meanwhile(service: Service) -> None:
    await service.learn("my dog is called Rex")
    service.embedder.name = "newer"
    assert await service.search("hound") == []
    body = {"persona_id": "aria", "player_id": "p1", "query": "dog"}
    (memory,) = (await service.http.post("/v1/local/memories/search", json=body)).json()["memories"]
    assert memory["similarity"] == 0
    assert "meaning" not in memory["reasons"]


async def test_statistics_count_what_the_player_may_recall(service: Service) -> None:
    url = "/v1/local/memories/stats?persona_id=aria&player_id=p1"
    assert (await service.http.get(url)).json() == {"total_memories": 0}
    await service.learn("hello")
    await service.learn("x" * 60, role="assistant")
    await service.learn("canary", player_id="p2")
    stats = (await service.http.get(url)).json()
    assert stats.pop("stats_calculation_time_ms") >= 0
    assert stats.pop("newest_memory") >= stats.pop("oldest_memory")
    assert stats == {
        "total_memories": 2,
        "avg_importance": 0.35,
        "memory_types": {"persona_response": 1, "user_input": 1},
        "high_importance_count": 0,
        "created_today": 2,
    }


# ---- isolation


@pytest.mark.parametrize(
    "other", [{"player_id": "p2"}, {"persona_id": "kira"}, {"tenant": "elsewhere"}], ids=lambda other: next(iter(other))
)
async def test_nobody_else_sees_a_private_canary(service: Service, other: dict[str, str]) -> None:
    canary = await service.learn("canary: the treasure lies under the oak", **other)
    await service.learn("my own words")
    assert await service.search("treasure under the oak", n_results=100) == ["my own words"]
    context = await service.context("treasure under the oak", max_turns=0, max_memories=100)
    assert "canary" not in str(context["memories"])
    turns = (await service.context("treasure"))["turns"]
    assert "canary" not in str(turns)
    if "tenant" in other:
        assert (await service.http.get(f"/v1/local/turns/{canary['message_id']}")).status_code == 404
        assert (await service.remember(canary)).status_code == 404


async def test_what_the_persona_knows_by_itself_is_recalled_for_every_player(service: Service) -> None:
    await service.learn("the old bridge is down")
    await service.rows.execute("UPDATE memory.memories SET player_id = NULL")
    for player in ("p1", "p2"):
        assert await service.search("bridge", player_id=player) == ["the old bridge is down"]


async def test_the_same_message_id_in_two_tenants_is_two_turns(service: Service) -> None:
    turn = service.turn("here")
    assert (await service.commit(turn)).json() == {"stored": 1}
    assert (await service.commit({**turn, "content": "there"}, tenant="elsewhere")).json() == {"stored": 1}


# ---- when PostgreSQL is away


async def test_a_lost_connection_is_unavailable_and_then_works_again(service: Service) -> None:
    await service.rows.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND application_name = 'pmcp-memory'"
    )
    answers = [await service.commit(service.turn("one more")) for _ in range(6)]
    assert {answer.status_code for answer in answers} <= {200, 503}
    assert answers[-1].status_code == 200
    assert (await service.http.get("/readyz")).json() == {"status": "ok"}
