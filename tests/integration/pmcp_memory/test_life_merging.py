"""Memories made one: what they were stays as provenance, and nobody sees more than before."""

from __future__ import annotations

from tests.integration.pmcp_memory.conftest import Service
from tests.integration.pmcp_memory.memories import OWNER, read, store


async def test_merging_keeps_the_sources_and_the_greater_importance(service: Service) -> None:
    await service.learn("my dog is called Rex")
    await service.learn("I have a dog and I love my dog so much!")
    ids = [row["id"] for row in await service.rows.fetch("SELECT id FROM memory.memories ORDER BY ordinal")]
    importances = [(await read(service, one))["importance"] for one in ids]
    body = {**OWNER, "into": ids[0], "others": [ids[1]]}
    merged = (await service.http.post("/v1/local/memories/merge", json=body)).json()
    assert merged["source_message_ids"] == ["m1", "m2"]
    assert merged["importance"] == max(importances)
    assert (await read(service, ids[1]))["status"] == 404
    assert (await service.http.post("/v1/local/remember", json={"message_ids": ["m1", "m2"]})).json() == {"stored": 0}


async def test_a_memory_is_not_merged_with_itself(service: Service) -> None:
    one, two = await store(service, "my dog is called Rex", "a dog named Rex lives with me")
    merge = "/v1/local/memories/merge"
    alone = await service.http.post(merge, json={**OWNER, "into": one, "others": [one, one]})
    assert (alone.status_code, alone.json()["code"]) == (422, -32602)
    beside = await service.http.post(merge, json={**OWNER, "into": one, "others": [one, two]})
    assert [part["id"] for part in beside.json()["merged_from"]] == [two]


async def test_merging_keeps_the_texts_that_go_as_provenance(service: Service) -> None:
    one, two, three = await store(service, "Rex is my dog", "my dog is called Rex", "a dog named Rex lives with me")
    merge = "/v1/local/memories/merge"
    await service.http.post(merge, json={**OWNER, "into": two, "others": [three]})
    merged = (await service.http.post(merge, json={**OWNER, "into": one, "others": [two]})).json()
    assert merged["content"] == "Rex is my dog"
    told = [(part["id"], part["content"]) for part in merged["merged_from"]]
    assert told == [(two, "my dog is called Rex"), (three, "a dog named Rex lives with me")]
    assert {part["merged_at"] > part["created_at"] for part in merged["merged_from"]} == {True}
    await service.http.patch(f"/v1/local/memories/{one}", json={**OWNER, "visibility": "public"})
    seen = await read(service, one, player_id="p2")
    assert (seen["content"], seen["merged_from"]) == ("Rex is my dog", [])


async def test_memories_of_different_visibility_are_not_merged(service: Service) -> None:
    one, two = await store(service, "where it is", "where the thing is")
    await service.http.patch(f"/v1/local/memories/{two}", json={**OWNER, "visibility": "public"})
    answer = await service.http.post("/v1/local/memories/merge", json={**OWNER, "into": two, "others": [one]})
    assert answer.status_code == 409
    assert (await read(service, one))["status"] == 200


async def test_merging_keeps_the_pin_and_the_last_access(service: Service) -> None:
    one, two = await store(service, "where it is", "where the thing is")
    await service.http.patch(f"/v1/local/memories/{two}", json={**OWNER, "pinned": True})
    await service.rows.execute("UPDATE memory.memories SET last_accessed = '2026-05-01Z' WHERE id = $1", two)
    body = {**OWNER, "into": one, "others": [two]}
    merged = (await service.http.post("/v1/local/memories/merge", json=body)).json()
    assert (merged["pinned"], merged["last_accessed"]) == (True, "2026-05-01T00:00:00Z")
