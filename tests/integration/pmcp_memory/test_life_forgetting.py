"""What is forgotten leaves no trace, whoever works on it meanwhile."""

from __future__ import annotations

import pytest

from tests.integration.pmcp_memory.conftest import Service
from tests.integration.pmcp_memory.memories import OWNER, forget, memory_of, remember_while


async def test_what_is_forgotten_leaves_no_trace(service: Service) -> None:
    secret = service.turn("Do you know that canary is my middle name?", created_at="2026-03-01T12:00:00Z")
    reply = service.turn(
        "I did not know that, and I shall keep it to myself for ever",
        role="assistant",
        created_at="2026-03-01T12:00:01Z",
    )
    await service.commit(secret, reply)
    await service.remember(secret, reply)
    await service.summarised("c1", "The canary name.")
    memory_id = await service.rows.fetchval("SELECT id FROM memory.memories WHERE source_message_ids[1] = 'm1'")
    answer = await service.http.delete(f"/v1/local/memories/{memory_id}", params=OWNER)
    assert answer.json() == {"memories": 1, "turns": 1, "summaries": 1}
    for table in ("memories", "turns", "summaries"):
        dump = await service.rows.fetchval(f"SELECT string_agg(t::text, ' ') FROM memory.{table} t")
        assert "canar" not in (dump or "")


async def test_what_is_forgotten_leaves_no_trace_in_any_conversation_it_came_from(service: Service) -> None:
    await service.learn("canary is my middle name")
    asked = service.turn("Did I say that canary is my middle name?", conversation_id="c2")
    reply = service.turn(
        "You did, and I shall keep it to myself for ever, dear friend of mine",
        conversation_id="c2",
        role="assistant",
        created_at="2026-03-01T12:00:02Z",
    )
    await service.commit(asked, reply)
    await service.remember(asked, reply)
    await service.summarised("c1", "canary")
    await service.summarised("c2", "canary too")
    into, other = [await memory_of(service, message_id) for message_id in ("m1", "m2")]
    assert into != other
    merged = await service.http.post("/v1/local/memories/merge", json={**OWNER, "into": into, "others": [other]})
    assert merged.status_code == 200
    assert await service.rows.fetchval("SELECT count(*) FROM memory.memories WHERE lead_in LIKE '%canary%'") == 1
    assert await forget(service, into) == {"memories": 1, "turns": 2, "summaries": 2}
    for table in ("memories", "turns", "summaries"):
        dump = await service.rows.fetchval(f"SELECT string_agg(t::text, ' ') FROM memory.{table} t")
        assert "canar" not in dump


async def test_a_summary_made_before_a_forget_is_refused(service: Service) -> None:
    secret, other = service.turn("canary secret"), service.turn("hello there friend")
    await service.commit(secret, other)
    await service.remember(secret, other)
    assert (await forget(service, await memory_of(service, "m1")))["summaries"] == 0
    url = "/v1/local/conversations/c1/summary"
    draft = {"content": "They met.", "after_version": 0, "upto_message_id": "m2"}
    assert (await service.http.put(url, json=draft)).status_code == 409
    assert (await service.context("x"))["summary"] is None
    assert (await service.records())["summaries"] == []
    task = (await service.http.get(f"{url}-task", params=OWNER)).json()
    assert task["previous"] is None
    after = {**draft, "after_version": task["version"]}
    assert (await service.http.put(url, json=after)).status_code == 200
    assert (await service.context("x"))["summary"] == "They met."


async def test_a_question_forgotten_meanwhile_does_not_come_back_before_its_answer(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    await service.learn("Did I say that canary is my middle name?")
    reply = service.turn("You did, and I keep it to myself", role="assistant", created_at="2026-03-01T12:00:02Z")
    await service.commit(reply)
    question = await memory_of(service, "m1")
    answer = await remember_while(service, monkeypatch, reply, lambda: forget(service, question))
    assert answer.status_code == 404
    assert (await service.remember(reply)).json() == {"stored": 1}
    assert await service.rows.fetchval("SELECT lead_in FROM memory.memories") == ""


async def test_a_forgotten_message_is_not_learned_again(service: Service) -> None:
    turn = await service.learn("canary")
    memory_id = await service.rows.fetchval("SELECT id FROM memory.memories")
    await service.http.delete(f"/v1/local/memories/{memory_id}", params=OWNER)
    await service.commit(turn)
    assert (await service.remember(turn)).json() == {"stored": 0}
