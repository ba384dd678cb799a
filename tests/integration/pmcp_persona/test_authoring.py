"""Making, changing and deleting personas over HTTP on a real PostgreSQL."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx

from pmcp_common.contracts.personas import Persona

from .conftest import ARIA, Service

ALL = "http://persona/v1/local/personas"
MIRA = {
    "name": "Mira",
    "full_name": "Mira of the Lake",
    "description": "A ferrywoman",
    "personality_traits": {"calm": 8, "temper": "slow"},
    "topic_preferences": {"boats": 90},
    "charisma": 12,
    "intelligence": 9,
    "social_rank": "peasant",
    "priority": "casual",
    "energy": 120,
    "available_time": 900,
    "background": "Born on a boat",
    "backstory": "She never learned to swim.",
    "speaking_style": "Short",
    "interests": ["boats"],
    "goals": ["a new boat"],
    "extras": {"hair": {"colour": "red"}},
    "fallback_lines": ["The wind took that."],
}


async def create(service: Service, **changes: Any) -> Persona:
    answer = await service.http.post(ALL, json=MIRA | changes)
    assert answer.status_code == 201, answer.text
    return Persona.model_validate_json(answer.content)


async def get(service: Service, reference: str) -> httpx.Response:
    return await service.http.get(f"/{reference}", params={"player_id": "p1"})


def assert_conflict(answer: httpx.Response) -> None:
    assert (answer.status_code, answer.json()["code"]) == (409, -32012), answer.text


async def test_every_field_comes_back_as_it_was_sent(service: Service) -> None:
    created = await create(service)
    assert created.model_dump(mode="json", include=set(MIRA)) == MIRA
    assert created.version == 1
    assert Persona.model_validate((await get(service, "mira")).json()["persona"]) == created


async def test_a_name_is_taken_in_any_case(service: Service) -> None:
    await create(service)
    answer = await service.http.post(ALL, json={"name": "MIRA"})
    assert_conflict(answer)
    assert "Failed to save persona" in answer.json()["detail"]


async def test_of_many_with_one_name_exactly_one_is_made(service: Service) -> None:
    answers = await asyncio.gather(*(service.http.post(ALL, json={"name": "Twin"}) for _ in range(8)))
    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 7


async def test_a_change_is_a_new_version_and_leaves_the_rest(service: Service) -> None:
    created = await create(service)
    answer = await service.http.patch("/mira", json={"charisma": 20, "extras": {"hair": None, "hat": 1}})
    changed = Persona.model_validate_json(answer.content)
    assert (changed.version, changed.charisma, changed.extras) == (2, 20, {"hat": 1})
    same = {"charisma", "extras", "version"}
    assert changed.model_dump(exclude=same) == created.model_dump(exclude=same)
    known = await service.http.get("/mira/turn-context", params={"player_id": "p1", "known_version": 1})
    assert known.json()["persona"]["charisma"] == 20


async def test_a_change_of_an_older_version_is_refused_when_its_author_asked_for_that(service: Service) -> None:
    await create(service)
    assert (await service.http.patch("/mira", json={"charisma": 1, "expected_version": 1})).status_code == 200
    assert_conflict(await service.http.patch("/mira", json={"charisma": 2, "expected_version": 1}))


async def test_changes_at_the_same_moment_are_all_kept(service: Service) -> None:
    await create(service)
    await asyncio.gather(*(service.http.patch("/mira", json={"extras": {f"k{n}": n}}) for n in range(6)))
    persona = (await get(service, "mira")).json()["persona"]
    assert persona["version"] == 7
    assert {f"k{n}" for n in range(6)} <= persona["extras"].keys()


async def test_extras_that_grow_beyond_their_bound_are_refused(service: Service) -> None:
    await create(service)
    await service.http.patch("/mira", json={"extras": {"one": "x" * 5000}})
    answer = await service.http.patch("/mira", json={"extras": {"two": "x" * 5000}})
    assert (answer.status_code, answer.json()["code"]) == (422, -32602)


async def test_a_new_name_must_be_free(service: Service) -> None:
    await create(service)
    assert_conflict(await service.http.patch("/mira", json={"name": "aria"}))
    assert (await service.http.patch("/mira", json={"name": "Mirabel"})).json()["name"] == "Mirabel"
    assert (await get(service, "mira")).status_code == 404


async def test_a_deleted_persona_is_found_nowhere_and_its_name_is_free(service: Service) -> None:
    created = await create(service)
    body = {"player_id": "p1", "interaction_id": "i1", "duration_seconds": 1}
    await service.http.post("/mira/interactions", json=body)
    answer = await service.http.delete("/MIRA")
    assert answer.json() == {"persona_id": created.id, "name": "Mira"}
    for path in (f"/{created.id}", f"/{created.id}/turn-context", f"/{created.id}/emotions", "/mira/relationships"):
        missed = await service.http.get(path, params={"player_id": "p1"})
        assert (missed.status_code, missed.json()["code"]) == (404, -32000), path
    assert (await service.http.post(f"/{created.id}/interactions", json=body)).status_code == 404
    assert (await service.http.patch("/mira", json={"charisma": 2})).status_code == 404
    assert (await service.http.delete("/mira")).status_code == 404
    assert "Mira" not in (await service.http.get(ALL, params={"player_id": "p1"})).text
    again = await create(service)
    assert again.id != created.id
    assert await service.rows.fetchval("SELECT count(*) FROM persona.interaction_states") == 1


async def test_another_tenant_changes_and_deletes_nothing_here(service: Service) -> None:
    other = f"http://persona/v1/other/personas/{ARIA}"
    assert (await service.http.patch(other, json={"charisma": 1})).status_code == 404
    assert (await service.http.delete(other)).status_code == 404
    assert (await get(service, "aria")).json()["persona"]["version"] == 1


async def test_wrong_fields_are_named_and_nothing_is_stored(service: Service) -> None:
    answer = await service.http.post(ALL, json={"name": "X", "charisma": 99, "sword": 1})
    assert (answer.status_code, answer.json()["code"]) == (422, -32602)
    assert "charisma" in answer.json()["detail"]
    assert await service.rows.fetchval("SELECT count(*) FROM persona.personas") == 2


async def test_odd_but_valid_json_is_kept_or_refused_never_a_fault(service: Service) -> None:
    for odd in ('{"name":"N1","extras":{"n":1e400}}', '{"name":"N2","extras":{"s":"\\ud800"}}', '{"name":"\\ud800"}'):
        answer = await service.http.post(ALL, content=odd, headers={"content-type": "application/json"})
        assert answer.status_code == 422, odd


async def test_the_api_describes_every_operation(service: Service) -> None:
    paths = (await service.http.get("http://persona/openapi.json")).json()["paths"]
    assert set(paths["/v1/{tenant}/personas"]) == {"get", "post"}
    assert set(paths["/v1/{tenant}/personas/{reference}"]) == {"get", "patch", "delete"}
    assert "/v1/{tenant}/relationships/{one}/{other}/compatibility" in paths
