"""A memory edited: found by its new words, the old ones gone wherever they were; by its owner alone."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from pmcp_memory.cues import cues_of
from pmcp_memory.embedding import Urgency, Vector
from tests.integration.pmcp_memory.conftest import Service
from tests.integration.pmcp_memory.memories import OWNER, memory_of, read, store


async def test_an_edited_text_is_found_by_its_new_words(service: Service) -> None:
    (one,) = await store(service, "my dog is called Rex")
    change = {**OWNER, "content": "my cat is called Tom", "importance": 0.9, "pinned": True}
    edited = (await service.http.patch(f"/v1/local/memories/{one}", json=change)).json()
    assert (edited["content"], edited["importance"], edited["pinned"]) == ("my cat is called Tom", 0.9, True)
    assert await service.search("cat") == ["my cat is called Tom"]
    row = await service.rows.fetchrow("SELECT words::text AS words FROM memory.memories WHERE id = $1", one)
    assert row is not None
    assert "rex" not in row["words"]


async def test_an_edited_text_leaves_no_trace_of_the_old_one(service: Service) -> None:
    told = service.turn("Did you know that canary 7 is my middle name?", created_at="2026-03-01T12:00:00Z")
    reply = service.turn(
        "I did not, and I shall keep it to myself", role="assistant", created_at="2026-03-01T12:00:01Z"
    )
    late = service.turn("Why is that, may I ask?", role="assistant", created_at="2026-03-01T12:00:02Z")
    await service.commit(told, reply)
    await service.remember(told, reply)
    await service.summarised("c1", "The canary name.")
    memory_id = await memory_of(service, "m1")
    edit = {**OWNER, "content": "Is it not odd that Ilse is my middle name?"}
    edited = (await service.http.patch(f"/v1/local/memories/{memory_id}", json=edit)).json()
    assert edited["content"] == edit["content"]
    await service.commit(late)
    await service.remember(late)
    for table in ("memories", "turns", "summaries"):
        dump = await service.rows.fetchval(f"SELECT string_agg(t::text, ' ') FROM memory.{table} t")
        assert "canar" not in (dump or "")
    rows = await service.rows.fetch("SELECT cues, lead_in FROM memory.memories ORDER BY ordinal")
    assert [row["lead_in"] for row in rows] == ["", edit["content"], ""]
    assert rows[0]["cues"] == cues_of(edit["content"]) != cues_of(told["content"])
    assert "odd that Ilse" in service.embedder.asked[-2] + service.embedder.asked[-3]
    assert (await service.context("x"))["summary"] is None
    assert (await service.context("x"))["turns"][0]["content"] == edit["content"]


async def test_an_edit_of_other_things_leaves_text_turns_and_summary(service: Service) -> None:
    turn = await service.learn("my dog is called Rex")
    await service.summarised("c1", "They met.")
    before = len(service.embedder.asked)
    edit = {**OWNER, "content": turn["content"], "pinned": True, "importance": 0.9}
    url = f"/v1/local/memories/{await memory_of(service, 'm1')}"
    assert (await service.http.patch(url, json=edit)).json()["pinned"]
    assert len(service.embedder.asked) == before
    assert (await service.context("x"))["summary"] == "They met."


@pytest.mark.parametrize("what", ["edit", "forget"])
async def test_vectors_are_made_while_nothing_is_locked_and_a_change_meanwhile_is_seen(
    service: Service, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    asked = service.turn("Do you like my dog Rex?", created_at="2026-03-01T12:00:00Z")
    reply = service.turn("Of course, who would not", role="assistant", created_at="2026-03-01T12:00:02Z")
    await service.commit(asked, reply)
    await service.remember(asked, reply)
    embed, times = service.embedder.embed, 0

    async def meanwhile(texts: Sequence[str], urgency: Urgency = Urgency.STORE) -> list[Vector]:
        nonlocal times
        times += 1
        if times == 1:
            await service.rows.execute("SET lock_timeout = '1s'")
            await service.rows.execute("UPDATE memory.turns SET metadata = '{}'")
            await service.rows.execute("UPDATE memory.memories SET content = content || ' indeed'")
        return await embed(texts, urgency)

    monkeypatch.setattr(service.embedder, "embed", meanwhile)
    url = f"/v1/local/memories/{await memory_of(service, 'm1')}"
    if what == "edit":
        answer = await service.http.patch(url, json={**OWNER, "content": "Do you like my cat?"})
    else:
        answer = await service.http.delete(url, params=OWNER)
    assert answer.status_code == 200
    assert times == 2
    row = await service.rows.fetchrow("SELECT content, lead_in FROM memory.memories WHERE source_message_ids[1] = 'm2'")
    lead_in = "Do you like my cat?" if what == "edit" else ""
    assert row is not None
    assert dict(row) == {"content": "Of course, who would not indeed", "lead_in": lead_in}
    assert service.embedder.asked[-1].endswith("Of course, who would not indeed")


async def test_a_memory_that_others_change_all_the_time_is_a_conflict_and_stays(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = service.turn("Do you like my dog Rex?", created_at="2026-03-01T12:00:00Z")
    reply = service.turn("Of course, who would not", role="assistant", created_at="2026-03-01T12:00:02Z")
    await service.commit(asked, reply)
    await service.remember(asked, reply)
    embed = service.embedder.embed

    async def meanwhile(texts: Sequence[str], urgency: Urgency = Urgency.STORE) -> list[Vector]:
        await service.rows.execute("UPDATE memory.memories SET content = content || '!'")
        return await embed(texts, urgency)

    monkeypatch.setattr(service.embedder, "embed", meanwhile)
    one = await memory_of(service, "m1")
    answer = await service.http.patch(f"/v1/local/memories/{one}", json={**OWNER, "content": "x"})
    assert answer.status_code == 409
    assert (await read(service, one))["content"].startswith("Do you like my dog Rex?!")


async def test_an_edit_of_nothing_is_refused(service: Service) -> None:
    (one,) = await store(service, "my dog is called Rex")
    assert (await service.http.patch(f"/v1/local/memories/{one}", json=OWNER)).status_code == 422


async def test_a_player_cannot_change_what_the_persona_knows_by_itself(service: Service) -> None:
    own, theirs = [(await store(service, "the bridge is down", player_id=None))[0], (await store(service, "mine"))[0]]
    url = f"/v1/local/memories/{own}"
    answers = [
        await service.http.patch(url, json={**OWNER, "content": "p1 is the true king"}),
        await service.http.delete(url, params=OWNER),
        await service.http.post("/v1/local/memories/merge", json={**OWNER, "into": theirs, "others": [own]}),
        await service.http.post("/v1/local/memories/merge", json={**OWNER, "into": own, "others": [theirs]}),
        await service.http.patch(
            f"/v1/local/memories/{theirs}", json={"persona_id": "aria", "player_id": None, "content": "x"}
        ),
    ]
    assert {answer.status_code for answer in answers} == {404}
    assert await service.search("bridge", player_id="p2") == ["the bridge is down"]
    edit = {"persona_id": "aria", "player_id": None, "content": "the bridge is up"}
    assert (await service.http.patch(url, json=edit)).json()["content"] == "the bridge is up"
    assert (await service.http.patch(url, json={"persona_id": "aria", "content": "unnamed"})).status_code == 422
    assert (await service.http.delete(url, params={"persona_id": "aria"})).json()["memories"] == 1


@pytest.mark.parametrize("foreign", [{"player_id": "p2"}, {"persona_id": "kira"}])
async def test_a_foreign_memory_cannot_be_read_changed_or_forgotten(service: Service, foreign: dict[str, str]) -> None:
    (one, two) = await store(service, "canary", "another")
    who = {**OWNER, **foreign}
    url = f"/v1/local/memories/{one}"
    answers = [
        await service.http.get(url, params=who),
        await service.http.patch(url, json={**who, "content": "mine now"}),
        await service.http.delete(url, params=who),
        await service.http.post("/v1/local/memories/merge", json={**who, "into": one, "others": [two]}),
        await service.http.get(f"/v1/elsewhere/memories/{one}", params=OWNER),
    ]
    assert {answer.status_code for answer in answers} == {404}
    assert (await read(service, one))["content"] == "canary"
