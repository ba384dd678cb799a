"""Relationships, moods and cooldowns over HTTP on a real PostgreSQL: what moves them, once, and for whom."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from pmcp_common.contracts.relationships import (
    Compatibility,
    Emotion,
    Relationship,
    RelationshipBetween,
    RelationshipList,
    RelationshipStats,
    RelationshipType,
    RelationshipWithPlayer,
)
from pmcp_persona import relationship_rows

from .conftest import ARIA, KIRA, Service

TENANT = "http://persona/v1/local"
OTHER = "http://persona/v1/other"


async def talk(service: Service, interaction_id: str, sentiment: float | None = 1.0, **more: Any) -> dict[str, Any]:
    body = {"player_id": "p1", "interaction_id": interaction_id, "duration_seconds": 3, "sentiment": sentiment} | more
    answer = await service.http.post(f"/{ARIA}/interactions", json=body)
    assert answer.status_code == 200, answer.text
    state: dict[str, Any] = answer.json()
    return state


async def with_player(service: Service, player: str = "p1") -> RelationshipWithPlayer:
    answer = await service.http.get("/aria/relationship-with-player", params={"player_id": player})
    return RelationshipWithPlayer.model_validate_json(answer.content)


async def mood(service: Service, player: str = "p1", reference: str = "aria") -> Emotion:
    answer = await service.http.get(f"/{reference}/emotions", params={"player_id": player})
    return Emotion.model_validate_json(answer.content)


async def meet(service: Service, cause: str, quality: float, minutes: float = 30, **more: Any) -> Relationship:
    body = {"cause_id": cause, "quality": quality, "duration_minutes": minutes} | more
    answer = await service.http.post(f"{TENANT}/relationships/aria/kira/meetings", json=body)
    assert answer.status_code == 200, answer.text
    found = RelationshipBetween.model_validate_json(answer.content).relationship
    assert found is not None
    return found


async def between(service: Service, one: str = "aria", other: str = "kira") -> RelationshipBetween:
    answer = await service.http.get(f"{TENANT}/relationships/{one}/{other}")
    return RelationshipBetween.model_validate_json(answer.content)


async def test_a_turn_moves_relationship_and_mood_and_says_why(service: Service) -> None:
    assert (await with_player(service)).relationship is None
    await talk(service, "reply-1", 1.0, user_message_id="words-1")
    known = await with_player(service)
    found = known.relationship
    assert found is not None
    assert found.affinity == pytest.approx(0.05 / 60)
    assert (found.interaction_count, known.recent_interactions) == (1, 1)
    event = found.history[0]
    assert (event.cause_id, event.user_message_id, event.context) == ("reply-1", "words-1", "conversation")
    assert event.affinity_change == found.affinity
    now = await mood(service)
    assert now.mood > 0.5
    assert now.history[0].cause_id == "reply-1"
    assert now.history[0].changes["mood"] == pytest.approx(0.08)


async def test_a_turn_told_again_moves_nothing_even_after_many_others(service: Service) -> None:
    await talk(service, "first")
    for number in range(40):
        await talk(service, f"i{number}", 0.0)
    before = ((await with_player(service)).relationship, await mood(service))
    await talk(service, "first")
    assert ((await with_player(service)).relationship, await mood(service)) == before


async def test_turns_of_many_players_at_once_all_count_once(service: Service) -> None:
    turns = [(f"p{number % 3}", f"i{number}") for number in range(12)] * 2
    await asyncio.gather(*(talk(service, cause, 1.0, player_id=player) for player, cause in turns))
    assert len((await mood(service)).history) == 12
    for player in ("p0", "p1", "p2"):
        found = (await with_player(service, player)).relationship
        assert found is not None
        assert found.interaction_count == 4


async def test_one_player_sees_neither_the_relationship_nor_the_causes_of_another(service: Service) -> None:
    await talk(service, "secret-cause", player_id="p2", user_message_id="secret-words")
    assert (await with_player(service)).relationship is None
    listed = await service.http.get("/aria/relationships", params={"player_id": "p1"})
    shown = await service.http.get("/aria/emotions", params={"player_id": "p1"})
    assert "secret" not in listed.text + shown.text
    assert (await mood(service)).history[0].cause_id is None
    assert (await mood(service, "p2")).history[0].cause_id == "secret-cause"


async def test_another_tenant_sees_nothing(service: Service) -> None:
    await talk(service, "canary-1")
    await meet(service, "canary-2", 1.0)
    await service.rows.execute(
        "INSERT INTO persona.personas (tenant_id, id, name) VALUES ('other', $1, 'Aria'), ('other', $2, 'Kira')",
        ARIA,
        KIRA,
    )
    for path in (
        f"{OTHER}/relationships/aria/kira",
        f"{OTHER}/relationships/stats",
        f"{OTHER}/personas/aria/relationships?player_id=p1",
        f"{OTHER}/personas/aria/relationship-with-player?player_id=p1",
        f"{OTHER}/personas/aria/emotions?player_id=p1",
    ):
        answer = await service.http.get(path)
        assert answer.status_code == 200, path
        assert "canary" not in answer.text
    stats = RelationshipStats.model_validate_json((await service.http.get(f"{OTHER}/relationships/stats")).content)
    assert stats.personas.total_relationships == stats.players.total_relationships == 0


async def test_a_mood_is_calm_at_first_can_be_set_and_fades(service: Service) -> None:
    await service.rows.execute("UPDATE persona.personas SET created_at = $1", service.clock.now())
    calm = await mood(service)
    assert (calm.mood, calm.energy_level, calm.stress_level, calm.curiosity, calm.social_battery) == (
        0.5,
        0.7,
        0.3,
        0.6,
        0.8,
    )
    assert await service.rows.fetchval("SELECT count(*) FROM persona.emotions") == 0
    service.clock.pass_seconds(1)
    change = {"cause_id": "c1", "mood": -1.0, "stress_level": 1.0}
    changed = Emotion.model_validate_json((await service.http.patch("/aria/emotions", json=change)).content)
    assert (changed.mood, changed.stress_level, changed.energy_level) == (-1.0, 1.0, 0.7)
    assert changed.last_updated == service.clock.now()
    service.clock.pass_seconds(6 * 3600)
    assert (await mood(service)).mood == pytest.approx(-0.25)
    await service.http.patch("/aria/emotions", json=change)
    assert (await mood(service)).mood == pytest.approx(-0.25), "the same cause sets nothing twice"


async def test_what_is_kept_of_causes_is_bounded(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relationship_rows, "KEPT_EVENTS", 5)
    for number in range(12):
        await talk(service, f"i{number}", 0.5)
    kept = await service.rows.fetch("SELECT cause_id FROM persona.relationship_events ORDER BY number")
    assert [row["cause_id"] for row in kept] == [f"i{number}" for number in range(7, 12)]
    found = (await with_player(service)).relationship
    assert found is not None
    assert found.interaction_count == 12


async def test_two_personas_who_never_met_have_no_relationship(service: Service) -> None:
    found = await between(service)
    assert (found.persona1.id, found.persona2.id, found.relationship) == (ARIA, KIRA, None)


async def test_a_meeting_moves_one_relationship_for_both(service: Service) -> None:
    moved = await meet(service, "m1", 1.0, context="collaboration")
    assert (moved.affinity, moved.trust, moved.respect, moved.intimacy) == pytest.approx((0.05, 0.03, 0.04, 0.02))
    assert (moved.persona_id, moved.other_id, moved.total_interaction_time) == (ARIA, KIRA, 30)
    assert await meet(service, "m1", 1.0) == moved
    back = (await between(service, "kira", "aria")).relationship
    assert back is not None
    assert (back.persona_id, back.other_id, back.affinity) == (KIRA, ARIA, moved.affinity)
    assert back.history == moved.history
    assert back.history[0].context == "collaboration"


async def test_meetings_at_the_same_moment_from_both_sides_all_count(service: Service) -> None:
    async def one(number: int) -> httpx.Response:
        pair = "aria/kira" if number % 2 else "kira/aria"
        body = {"cause_id": f"m{number}", "quality": 0.5, "duration_minutes": 1}
        return await service.http.post(f"{TENANT}/relationships/{pair}/meetings", json=body)

    assert {answer.status_code for answer in await asyncio.gather(*map(one, range(10)))} == {200}
    found = (await between(service)).relationship
    assert found is not None
    assert found.interaction_count == 10


async def test_a_relationship_can_be_set_and_enemies_are_not_compatible(service: Service) -> None:
    setting = {"cause_id": "s1", "relationship_type": "enemy", "strength": 0.9}
    answer = await service.http.patch(f"{TENANT}/relationships/aria/kira", json=setting)
    found = RelationshipBetween.model_validate_json(answer.content).relationship
    assert found is not None
    assert found.relationship_type is RelationshipType.ENEMY
    assert found.relationship_strength == pytest.approx(-0.9)
    assert found.compatibility_score == 0
    answer = await service.http.get(f"{TENANT}/relationships/kira/aria/compatibility")
    said = Compatibility.model_validate_json(answer.content)
    assert (said.analysis.prediction, said.existing_relationship) == ("difficult", True)


async def test_aria_and_kira_share_what_they_love(service: Service) -> None:
    answer = await service.http.get(f"{TENANT}/relationships/aria/kira/compatibility")
    said = Compatibility.model_validate_json(answer.content)
    assert said.suggestions.recommended_topics == ("magic", "stories")
    assert "Different views on gossip" in said.suggestions.potential_challenges
    assert not said.existing_relationship


@pytest.mark.parametrize("pair", ["aria/nobody", "nobody/aria"])
async def test_one_of_two_that_does_not_exist_is_named(service: Service, pair: str) -> None:
    for method, path in (("GET", ""), ("GET", "/compatibility")):
        answer = await service.http.request(method, f"{TENANT}/relationships/{pair}{path}")
        assert (answer.status_code, answer.json()["code"]) == (404, -32000)
        assert answer.json()["detail"] == "One or both personas not found: nobody"


async def test_a_persona_has_no_relationship_with_itself(service: Service) -> None:
    answer = await service.http.get(f"{TENANT}/relationships/aria/ARIA")
    assert (answer.status_code, answer.json()["code"]) == (422, -32602)


async def test_lists_and_figures_leave_deleted_personas_out(service: Service) -> None:
    await meet(service, "m1", 1.0)
    await talk(service, "i1")
    answer = await service.http.get("/kira/relationships", params={"player_id": "p1"})
    listed = RelationshipList.model_validate_json(answer.content)
    assert [one.other_name for one in listed.relationships] == ["Aria"]
    assert listed.with_player is None
    stats = RelationshipStats.model_validate_json((await service.http.get(f"{TENANT}/relationships/stats")).content)
    assert (stats.personas.total_relationships, stats.players.total_relationships) == (1, 1)
    assert stats.personas.average_compatibility == pytest.approx(listed.relationships[0].compatibility_score)
    assert {one.persona_id: one.interactions for one in stats.most_active_personas} == {ARIA: 1, KIRA: 1}
    await service.http.delete("/aria")
    answer = await service.http.get("/kira/relationships", params={"player_id": "p1"})
    assert RelationshipList.model_validate_json(answer.content).relationships == ()
    stats = RelationshipStats.model_validate_json((await service.http.get(f"{TENANT}/relationships/stats")).content)
    assert stats.personas.total_relationships == stats.players.total_relationships == 0
    assert stats.most_active_personas == ()


async def test_the_end_of_a_conversation_makes_a_persona_rest_from_this_player_only(service: Service) -> None:
    end = {"player_id": "p1", "interaction_id": "end-1", "continue_score": 20}
    state = (await service.http.post("/aria/cooldown", json=end)).json()
    assert (state["cooldown_remaining"], state["is_available"]) == (600, False)
    service.clock.pass_seconds(100)
    assert (await service.http.post("/aria/cooldown", json=end)).json()["cooldown_remaining"] == 500
    other = await service.http.get("/aria", params={"player_id": "p2"})
    assert other.json()["interaction_state"]["is_available"]


async def test_a_talk_between_personas_tires_for_everyone_and_moves_their_relationship(service: Service) -> None:
    body = {"partner_persona_id": "kira", "interaction_id": "i1", "duration_seconds": 120, "sentiment": 1}
    answer = await service.http.post("/aria/interactions", json=body)
    assert answer.json()["available_time"] == 480
    world = await service.http.get("/aria", params={"player_id": "p1", "scope": "world"})
    assert world.json()["interaction_state"]["available_time"] == 480
    own = await service.http.get("/aria", params={"player_id": "p1", "scope": "player"})
    assert own.json()["interaction_state"]["available_time"] == 600
    found = (await between(service)).relationship
    assert found is not None
    assert found.affinity > 0


@pytest.mark.parametrize("sides", [{}, {"player_id": "p1", "partner_persona_id": "kira"}])
async def test_the_other_side_is_a_player_or_a_persona(service: Service, sides: dict[str, str]) -> None:
    body = {"interaction_id": "i1", "duration_seconds": 1} | sides
    answer = await service.http.post("/aria/interactions", json=body)
    assert (answer.status_code, answer.json()["code"]) == (422, -32602)
