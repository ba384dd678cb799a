"""Canaries: what one player said in private reaches no other, by no way, though their conversations share an id."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from tests.integration.pmcp_memory.conftest import Service

ASKED_AT, ANSWERED_AT = "2026-03-01T12:00:00Z", "2026-03-01T12:00:02Z"
OTHERS = [{"player_id": "p2"}, {"persona_id": "kira"}, {"persona_id": "kira", "player_id": "p2"}]


async def tell_canary(service: Service) -> None:
    """p1 tells aria in the conversation c1, in which others talk too."""
    secret = service.turn("Did you know that canary is my middle name?", created_at=ASKED_AT)
    await service.commit(secret)
    await service.remember(secret)


async def dump(service: Service, table: str, player_id: str, persona_id: str) -> str:
    rows = await service.rows.fetch(
        f"SELECT t::text FROM memory.{table} t WHERE player_id = $1 AND persona_id = $2", player_id, persona_id
    )
    return " ".join(row[0] for row in rows)


@pytest.mark.parametrize("other", OTHERS)
async def test_the_question_of_one_player_stands_before_no_others_answer(
    service: Service, other: dict[str, str]
) -> None:
    await tell_canary(service)
    reply = service.turn(
        "I did, and I keep it to myself for ever and a day, dear friend",
        role="assistant",
        created_at=ANSWERED_AT,
        **other,
    )
    await service.commit(reply)
    await service.remember(reply)
    who = {"player_id": "p1", "persona_id": "aria", **other}
    told = await dump(service, "memories", who["player_id"], who["persona_id"])
    assert "keep it to myself" in told
    assert "canar" not in told
    assert await service.rows.fetchval("SELECT ordinal FROM memory.memories WHERE source_message_ids[1] = 'm2'") == 1


@pytest.mark.parametrize("other", OTHERS)
async def test_a_summary_is_shown_to_those_who_talked_alone(service: Service, other: dict[str, str]) -> None:
    await tell_canary(service)
    theirs = service.turn("hello there", **other)
    await service.commit(theirs)
    url = "/v1/local/conversations/c1/summary"
    draft = {"content": "The canary name.", "after_version": 0, "upto_message_id": "m1"}
    assert (await service.http.put(url, json=draft)).status_code == 200
    assert (await service.context("canary"))["summary"] == "The canary name."
    assert "canary" not in orjson.dumps(await service.context("canary", **other)).decode()
    who = {"persona_id": "aria", "player_id": "p1", **other}
    task = (await service.http.get(f"{url}-task", params={**who, "keep": 0, "after": 1, "batch": 1})).json()
    assert (task["previous"], task["version"]) == (None, 0)
    draft = {"content": "They greeted.", "after_version": 0, "upto_message_id": "m2"}
    assert (await service.http.put(url, json=draft)).status_code == 200
    assert (await service.context("canary"))["summary"] == "The canary name."


@pytest.mark.parametrize("other", OTHERS)
async def test_what_stands_beside_a_memory_is_of_its_owner(service: Service, other: dict[str, str]) -> None:
    """Even where it is public: it was said in another conversation of the same name."""
    await tell_canary(service)
    await service.rows.execute("UPDATE memory.memories SET visibility = 'public', ordinal = 2")
    await service.learn("my dog is called Rex", created_at=ANSWERED_AT, **other)
    (found, *_) = await recalled(service, "dog", **other)
    assert found["content"] == "my dog is called Rex"
    assert found["neighbours"] == []
    assert "nearby" not in found["reasons"] or found["reasons"]["nearby"] <= found["reasons"]["meaning"]


@pytest.mark.parametrize("other", OTHERS)
async def test_nothing_private_is_found_counted_listed_or_exported_by_another(
    service: Service, other: dict[str, str]
) -> None:
    await tell_canary(service)
    await service.learn("Shall we go?", created_at=ANSWERED_AT, **other)
    who = {"persona_id": "aria", "player_id": "p1", **other}
    assert await service.search("canary middle name", **other) == ["Shall we go?"]
    context = await service.context("canary middle name", **other)
    stats = (await service.http.get("/v1/local/memories/stats", params=who)).json()
    assert stats["total_memories"] == 1
    assert "canary" not in orjson.dumps(context).decode()
    exchanges = await service.http.get("/v1/local/conversations/c1/exchanges", params=who)
    assert "canary" not in exchanges.text
    if "player_id" in other:
        assert "canary" not in str(await service.records("p2"))


async def test_erasing_one_player_leaves_the_other_of_the_same_conversation(service: Service) -> None:
    await tell_canary(service)
    await service.learn("my dog is called Rex", player_id="p2")
    await service.summarised("c1", "canary")
    await service.summarised("c1", "Rex", player_id="p2")
    await service.http.delete("/v1/local/players/p1")
    assert (await service.context("dog", player_id="p2"))["summary"] == "Rex"
    assert await service.search("dog", player_id="p2") == ["my dog is called Rex"]
    for table in ("memories", "turns", "summaries"):
        assert "canar" not in str(await service.rows.fetchval(f"SELECT string_agg(t::text, ' ') FROM memory.{table} t"))


async def test_forgetting_leaves_another_players_summary_and_lead_in(service: Service) -> None:
    mine = service.turn("Do you like my dog Rex?", created_at=ASKED_AT)
    theirs = service.turn("Do you like my dog Rex?", created_at=ASKED_AT, player_id="p2")
    answers = [
        service.turn("Of course, who would not", role="assistant", created_at=ANSWERED_AT, player_id=player)
        for player in ("p1", "p2")
    ]
    await service.commit(mine, theirs, *answers)
    await service.remember(mine, theirs, *answers)
    await service.summarised("c1", "mine")
    await service.summarised("c1", "theirs", player_id="p2")
    memory_id = await service.rows.fetchval("SELECT id FROM memory.memories WHERE source_message_ids[1] = 'm1'")
    owner = {"persona_id": "aria", "player_id": "p1"}
    erased = await service.http.delete(f"/v1/local/memories/{memory_id}", params=owner)
    assert erased.json()["summaries"] == 1
    assert (await service.context("x", player_id="p2"))["summary"] == "theirs"
    kept = await service.rows.fetch("SELECT player_id, lead_in FROM memory.memories WHERE said_by = 'persona'")
    assert {row["player_id"]: row["lead_in"] for row in kept} == {"p1": "", "p2": "Do you like my dog Rex?"}


async def recalled(service: Service, query: str, **changes: Any) -> list[dict[str, Any]]:
    body = {"persona_id": "aria", "player_id": "p1", "query": query, **changes}
    answer = await service.http.post("/v1/local/memories/search", json=body)
    found: list[dict[str, Any]] = answer.json()["memories"]
    return found
