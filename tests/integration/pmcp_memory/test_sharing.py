"""What personas know of each other's memories: only what was shared or made public, and whom a memory is about."""

from __future__ import annotations

from typing import Any

from tests.integration.pmcp_memory.conftest import Service

URL = "/v1/local/shared-memories"


async def store(service: Service, content: str, **changes: Any) -> str:
    """Of Aria and player p1, unless told otherwise."""
    who = {"persona_id": changes.pop("persona_id", "aria"), "player_id": changes.pop("player_id", "p1")}
    memory = {"content": content, "importance": 0.7, **changes}
    answer = await service.http.post("/v1/local/memories", json={**who, "memories": [memory]})
    assert answer.status_code == 200, answer.text
    memory_id: str = answer.json()["ids"][0]
    return memory_id


async def search(service: Service, query: str = "the red harbour", **changes: Any) -> list[dict[str, Any]]:
    body = {"persona_id": "kira", "player_id": "p1", "query": query, **changes}
    answer = await service.http.post(f"{URL}/search", json=body)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["memories"]
    return found


async def test_private_memories_are_never_found_not_even_ones_own(service: Service) -> None:
    await store(service, "the red harbour is a secret canary")
    await store(service, "the red harbour is my own canary", persona_id="kira")
    assert await search(service) == []


async def test_shared_ones_are_for_their_player_and_public_ones_for_everybody(service: Service) -> None:
    shared = await store(service, "the red harbour burns", visibility="shared")
    public = await store(service, "the red harbour sleeps", visibility="public")
    assert {one["id"] for one in await search(service)} == {shared, public}
    assert {one["id"] for one in await search(service, player_id="p2")} == {public}
    assert {one["id"] for one in await search(service, include_shared=False)} == {public}
    assert {one["id"] for one in await search(service, include_public=False)} == {shared}
    assert await search(service, include_shared=False, include_public=False) == []
    answer = await service.http.post(
        "/v1/other/shared-memories/search", json={"persona_id": "kira", "player_id": "p1", "query": "the red harbour"}
    )
    assert answer.json()["memories"] == []


async def test_the_most_similar_comes_first_with_its_cosine_and_the_dull_are_left_out(service: Service) -> None:
    exact = await store(service, "the red harbour", visibility="public", related_personas=["kira"])
    near = await store(service, "the red onion", visibility="public")
    await store(service, "the red harbour again", visibility="public", importance=0.59)
    found = await search(service)
    assert [one["id"] for one in found] == [exact, near]
    assert found[0]["similarity"] > 0.99 > found[1]["similarity"] > 0
    assert (found[0]["persona_id"], found[0]["related_personas"]) == ("aria", ["kira"])
    assert len(await search(service, n_results=1)) == 1
    assert len(await search(service, min_importance=0.5)) == 3


async def test_shared_public_and_cross_references_are_counted_by_persona(service: Service) -> None:
    await store(service, "private", related_personas=["kira"])
    await store(service, "shared", visibility="shared", related_personas=["kira", "borin"])
    await store(service, "public", visibility="public", related_personas=["aria"])
    await store(service, "public too", visibility="public", player_id="p2", persona_id="kira")
    stats = (await service.http.get(f"{URL}/stats")).json()["personas"]
    assert stats == [
        {"persona_id": "aria", "shared": 1, "public": 1, "cross_references": 1},
        {"persona_id": "kira", "shared": 0, "public": 1, "cross_references": 0},
    ]


async def test_related_personas_are_kept_returned_edited_and_weighed(service: Service) -> None:
    about = await store(service, "the red harbour is far", visibility="public", related_personas=["kira", "kira"])
    other = await store(service, "the red harbour is wide", visibility="public")
    body = {"persona_id": "kira", "player_id": "p9", "query": "the red harbour"}
    found = (await service.http.post("/v1/local/memories/search", json=body)).json()["memories"]
    assert {one["id"]: one["related_personas"] for one in found} == {about: ["kira"], other: []}
    reasons = {one["id"]: one["reasons"] for one in found}
    assert reasons[about]["relationship"] == 0.05
    assert "relationship" not in reasons[other]
    asked_by_persona = {**body, "persona_id": "borin", "player_id": "persona:kira"}
    found = (await service.http.post("/v1/local/memories/search", json=asked_by_persona)).json()["memories"]
    assert [one["id"] for one in found if "relationship" in one["reasons"]] == [about]
    change = {"persona_id": "aria", "player_id": "p1", "related_personas": ["borin"]}
    edited = (await service.http.patch(f"/v1/local/memories/{about}", json=change)).json()
    assert (edited["related_personas"], edited["content"]) == (["borin"], "the red harbour is far")
