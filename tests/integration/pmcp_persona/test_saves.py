"""The persona service's part of saves: what it holds comes back, on record, and what takes time goes on from there."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from .conftest import ARIA, KIRA, Service
from .test_inner_life import TENANT, between, meet, mood, talk, with_player


async def save(service: Service, save_id: str = "early", player: str = "p1") -> dict[str, int]:
    answer = await service.http.put(f"{TENANT}/saves/{save_id}", json={"player_id": player})
    assert answer.status_code == 200, answer.text
    counts: dict[str, int] = answer.json()
    return counts


async def try_load(service: Service, save_id: str, leaving: str, player: str = "p1") -> httpx.Response:
    body = {"player_id": player, "leaving_id": leaving}
    return await service.http.post(f"{TENANT}/saves/{save_id}/load", json=body)


async def load(service: Service, save_id: str = "early", leaving: str = "left") -> dict[str, int]:
    answer = await try_load(service, save_id, leaving)
    assert answer.status_code == 200, answer.text
    counts: dict[str, int] = answer.json()
    return counts


async def state(service: Service, player: str = "p1") -> dict[str, Any]:
    answer = await service.http.get(f"/{ARIA}", params={"player_id": player})
    found: dict[str, Any] = answer.json()["interaction_state"]
    return found


async def cool(service: Service, interaction_id: str) -> None:
    body = {"player_id": "p1", "interaction_id": interaction_id, "continue_score": 50}
    assert (await service.http.post(f"/{ARIA}/cooldown", json=body)).status_code == 200


async def test_energy_feelings_and_relationships_are_as_they_were(service: Service) -> None:
    await talk(service, "t1", duration_seconds=120)
    await meet(service, "m1", 0.5)
    before = (await state(service), await with_player(service), await mood(service), await between(service))
    assert await save(service) == {"interaction_states": 1, "relationships": 2, "emotions": 1}
    await talk(service, "t2", sentiment=-1.0, duration_seconds=300)
    await meet(service, "m2", -1.0)
    assert await load(service) == {"interaction_states": 1, "relationships": 2, "emotions": 1}
    after = (await state(service), await with_player(service), await mood(service), await between(service))

    assert after[0] == before[0]
    assert after[1].relationship is not None
    assert before[1].relationship is not None
    assert after[1].relationship.model_copy(update={"history": ()}) == before[1].relationship.model_copy(
        update={"history": ()}
    )
    assert (after[2].mood, after[2].stress_level) == (before[2].mood, before[2].stress_level)
    assert after[3].relationship is not None
    assert before[3].relationship is not None
    assert after[3].relationship.affinity == before[3].relationship.affinity


async def test_the_history_says_that_a_save_was_loaded(service: Service) -> None:
    await talk(service, "t1")
    await save(service)
    await talk(service, "t2", sentiment=-1.0)
    await load(service)
    relationship = (await with_player(service)).relationship
    assert relationship is not None
    assert [event.context for event in relationship.history] == ["loaded a save", "conversation", "conversation"]
    assert relationship.history[0].affinity_change > 0
    newest = (await mood(service)).history[0]
    assert (newest.cause, newest.cause_id) == ("loaded a save", "load:left")
    assert (await mood(service, "p2")).history[0].cause_id is None


async def test_a_minute_of_cooldown_that_was_left_is_left_again(service: Service) -> None:
    await cool(service, "end")
    service.clock.pass_seconds(240)
    assert (await state(service))["cooldown_remaining"] == 60
    await save(service)
    service.clock.pass_seconds(86_400)
    assert (await state(service))["is_available"] is True
    await load(service)
    found = await state(service)
    assert (found["cooldown_remaining"], found["is_available"]) == (60, False)
    service.clock.pass_seconds(61)
    assert (await state(service))["is_available"] is True


async def test_a_mood_goes_on_fading_from_where_it_was(service: Service) -> None:
    service.clock.pass_seconds(400 * 86_400)  # the personas were made by the database's clock
    await service.http.patch(f"/{ARIA}/emotions", json={"cause_id": "c", "mood": -1.0})
    service.clock.pass_seconds(3600)
    before = (await mood(service)).mood
    await save(service)
    service.clock.pass_seconds(30 * 3600)
    await load(service)
    assert (await mood(service)).mood == before
    service.clock.pass_seconds(6 * 3600)
    assert (await mood(service)).mood == pytest.approx(0.5 + (before - 0.5) / 2, abs=1e-5)


async def test_whom_a_persona_had_not_met_it_has_not_met_again(service: Service) -> None:
    await save(service)
    fresh = await state(service)
    await talk(service, "t1", duration_seconds=200)
    await meet(service, "m1", 1.0)
    await load(service)
    assert (await with_player(service)).relationship is None
    assert {**await state(service), "last_updated": ""} == {**fresh, "last_updated": ""}
    strangers = (await between(service)).relationship
    assert strangers is not None
    assert (strangers.affinity, strangers.relationship_type, strangers.history[0].context) == (
        0.0,
        "stranger",
        "loaded a save",
    )
    # And what was left is found again.
    await load(service, "left", "left again")
    again = (await with_player(service)).relationship
    assert again is not None
    assert again.interaction_count == 1


async def test_saving_again_under_an_id_and_loading_again_for_one_leaving_change_nothing(service: Service) -> None:
    await talk(service, "t1", duration_seconds=100)
    await save(service)
    await talk(service, "t2", duration_seconds=100)
    await save(service)
    assert await load(service) == {"interaction_states": 1, "relationships": 1, "emotions": 1}
    await talk(service, "t3", duration_seconds=100)
    assert await load(service) == {"interaction_states": 0, "relationships": 0, "emotions": 0}
    relationship = (await with_player(service)).relationship
    assert relationship is not None
    assert relationship.interaction_count == 2


async def test_a_save_waits_for_nobody_who_is_changing_a_persona_and_holds_what_was_before(service: Service) -> None:
    await talk(service, "t1")
    async with service.rows.transaction(), asyncio.timeout(5):
        await service.rows.execute("SELECT 1 FROM persona.personas FOR NO KEY UPDATE")
        await service.rows.execute("UPDATE persona.emotions SET mood = -1")
        assert await save(service) == {"interaction_states": 1, "relationships": 1, "emotions": 1}
    before = (await mood(service)).mood
    await load(service)
    assert (before, (await mood(service)).mood > 0) == (-1, True)


async def test_a_turn_told_late_or_twice_counts_once_after_a_load(service: Service) -> None:
    await talk(service, "t1")
    await save(service)
    await talk(service, "t2")
    await load(service)
    await talk(service, "t2")
    relationship = (await with_player(service)).relationship
    assert relationship is not None
    assert relationship.interaction_count == 1


async def test_a_save_of_another_player_is_not_found_and_other_players_keep_their_own(service: Service) -> None:
    await save(service)
    await talk(service, "t1", player_id="p2", duration_seconds=100)
    before = await state(service, "p2")
    answer = await try_load(service, "early", "left", "p2")
    assert (answer.status_code, answer.json()["code"]) == (404, -32011)
    assert (await try_load(service, "unheard-of", "left")).status_code == 404
    await load(service)
    assert await state(service, "p2") == before
    assert (await with_player(service, "p2")).relationship is not None


async def test_personas_that_are_gone_or_new_or_changed_do_not_stand_in_the_way(service: Service) -> None:
    await talk(service, "t1")
    await talk(service, "t2", player_id="p1")
    await meet(service, "m1", 0.5)
    await save(service)
    await service.http.delete(f"/{KIRA}")
    assert (await service.http.post(f"{TENANT}/personas", json={"name": "Marlow"})).status_code == 201
    await service.http.patch(f"/{ARIA}", json={"energy": 20})
    await load(service)
    assert (await state(service))["social_energy"] == 20


async def test_of_a_forgotten_player_nothing_is_left_and_of_others_all(service: Service) -> None:
    await talk(service, "t1")
    await talk(service, "t2", player_id="p2")
    others = await state(service, player="p2")
    await save(service)
    gone = (await service.http.delete(f"{TENANT}/players/p1")).json()
    assert gone == {"interaction_states": 1, "relationships": 1, "saves": 1}
    assert (await try_load(service, "early", "left")).status_code == 404
    assert (await state(service))["interaction_fatigue"] == 0
    assert (await state(service, player="p2"))["interaction_fatigue"] == others["interaction_fatigue"]
    assert (await service.http.delete(f"{TENANT}/players/p1")).json()["interaction_states"] == 0
