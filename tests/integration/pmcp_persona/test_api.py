"""The persona service over HTTP on a real PostgreSQL."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from pmcp_common.contracts.personas import InteractionState, PersonaList, PersonaTurnContext, PersonaView

from .conftest import ARIA, KIRA, Service

ALL = "http://persona/v1/local/personas"


async def get_view(service: Service, reference: str, player: str = "p1") -> PersonaView:
    answer = await service.http.get(f"/{reference}", params={"player_id": player})
    assert answer.status_code == 200, answer.text
    return PersonaView.model_validate_json(answer.content)


async def get_context(service: Service, known_version: int | None = None) -> PersonaTurnContext:
    params: dict[str, str | int] = {"player_id": "p1"}
    if known_version is not None:
        params["known_version"] = known_version
    answer = await service.http.get(f"/{ARIA}/turn-context", params=params)
    assert answer.status_code == 200, answer.text
    return PersonaTurnContext.model_validate_json(answer.content)


async def interact(
    service: Service, interaction_id: str, seconds: float, player: str = "p1", reference: str = ARIA
) -> InteractionState:
    body = {"player_id": player, "interaction_id": interaction_id, "duration_seconds": seconds}
    answer = await service.http.post(f"/{reference}/interactions", json=body)
    assert answer.status_code == 200, answer.text
    return InteractionState.model_validate_json(answer.content)


def assert_not_found(answer: httpx.Response, reference: str) -> None:
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
    assert (answer.json()["code"], answer.json()["detail"]) == (-32000, f"Persona not found: {reference}")


async def test_a_fresh_installation_knows_aria_and_kira(service: Service) -> None:
    answer = await service.http.get(ALL, params={"player_id": "p1"})
    aria, kira = PersonaList.model_validate_json(answer.content).personas
    assert (aria.persona.id, aria.persona.name, aria.persona.version) == (ARIA, "Aria", 1)
    assert (aria.persona.charisma, aria.persona.intelligence, aria.persona.priority) == (18, 14, "social")
    assert (aria.interaction_state.social_energy, aria.interaction_state.available_time) == (150, 600)
    assert (kira.persona.id, kira.persona.name, kira.persona.version) == (KIRA, "Kira", 1)
    assert (kira.persona.charisma, kira.persona.intelligence, kira.persona.priority) == (12, 18, "academic")
    assert (kira.interaction_state.social_energy, kira.interaction_state.available_time) == (80, 300)


async def test_each_first_persona_has_a_character_and_lines_for_when_no_model_answers(service: Service) -> None:
    answer = await service.http.get(ALL, params={"player_id": "p1"})
    for view in PersonaList.model_validate_json(answer.content).personas:
        persona = view.persona
        assert persona.name in persona.description
        assert persona.name in persona.background
        assert persona.name in persona.speaking_style
        assert persona.personality_traits
        assert 3 <= len(persona.fallback_lines) <= 4
        assert all(0 <= liking <= 100 for liking in persona.topic_preferences.values())


@pytest.mark.parametrize("reference", ["Aria", "aria", "ARIA", ARIA, ARIA.upper()])
async def test_a_persona_is_found_by_id_or_name_in_any_case(service: Service, reference: str) -> None:
    assert (await get_view(service, reference)).persona.id == ARIA


async def test_an_id_wins_over_a_name_that_looks_like_it(service: Service) -> None:
    await service.rows.execute("INSERT INTO persona.personas (tenant_id, id, name) VALUES ('local', 'odd', $1)", ARIA)
    assert (await get_view(service, ARIA)).persona.name == "Aria"


@pytest.mark.parametrize(
    ("path", "reference"),
    [
        ("/nobody", "nobody"),
        ("/a%2Fb", "a/b"),
        ("/..%2F..%2Fother%2Fpersonas", "../../other/personas"),
        ("/Aria%2Fturn-context", "Aria/turn-context"),
        ("/%25", "%"),
        ("/Ari%C3%A1", "Ariá"),
        ("/nobody/turn-context", "nobody"),
        ("/a%2Fb/turn-context", "a/b"),
    ],
)
async def test_an_unknown_reference_is_a_persona_not_found_whatever_it_looks_like(
    service: Service, path: str, reference: str
) -> None:
    assert_not_found(await service.http.get(path, params={"player_id": "p1"}), reference)


async def test_a_name_may_hold_a_slash(service: Service) -> None:
    await service.rows.execute("INSERT INTO persona.personas (tenant_id, id, name) VALUES ('local', 'duo', 'Yin/Yang')")
    assert (await get_view(service, "yin%2Fyang")).persona.id == "duo"


async def test_a_persona_of_another_tenant_does_not_exist(service: Service) -> None:
    tenant = "http://persona/v1/other/personas"
    listed = await service.http.get(tenant, params={"player_id": "p1"})
    assert listed.json() == {"personas": []}
    assert_not_found(await service.http.get(f"{tenant}/{ARIA}", params={"player_id": "p1"}), ARIA)
    assert_not_found(await service.http.get(f"{tenant}/{ARIA}/turn-context", params={"player_id": "p1"}), ARIA)
    body = {"player_id": "p1", "interaction_id": "i1", "duration_seconds": 1}
    assert_not_found(await service.http.post(f"{tenant}/{ARIA}/interactions", json=body), ARIA)


async def test_two_tenants_may_have_personas_of_the_same_id_with_states_apart(service: Service) -> None:
    await service.rows.execute("INSERT INTO persona.personas (tenant_id, id, name) VALUES ('other', $1, 'Aria')", ARIA)
    await interact(service, "i1", 120)
    answer = await service.http.get(f"http://persona/v1/other/personas/{ARIA}", params={"player_id": "p1"})
    theirs = PersonaView.model_validate_json(answer.content)
    assert theirs.persona.charisma == 10
    assert theirs.interaction_state.interaction_fatigue == 0


async def test_reading_writes_no_row(service: Service) -> None:
    await get_view(service, ARIA)
    await get_context(service)
    assert await service.rows.fetchval("SELECT count(*) FROM persona.interaction_states") == 0


async def test_a_caller_that_holds_this_version_gets_only_the_state(service: Service) -> None:
    full = await get_context(service)
    assert full.persona is not None
    assert (full.persona.name, full.version) == ("Aria", 1)
    slim = await get_context(service, known_version=1)
    assert (slim.persona, slim.version) == (None, 1)
    assert slim.interaction_state == full.interaction_state


async def test_a_caller_that_holds_an_older_version_gets_the_new_one(service: Service) -> None:
    await service.rows.execute("UPDATE persona.personas SET version = 2, charisma = 19 WHERE id = $1", ARIA)
    context = await get_context(service, known_version=1)
    assert context.persona is not None
    assert (context.version, context.persona.version, context.persona.charisma) == (2, 2, 19)


async def test_an_interaction_tires_and_rest_restores(service: Service) -> None:
    service.clock.pass_seconds(120)
    tired = await interact(service, "i1", 120)
    assert (tired.social_energy, tired.interaction_fatigue, tired.available_time) == (148, 4, 480)
    service.clock.pass_seconds(60)
    resting = (await get_context(service)).interaction_state
    assert (resting.social_energy, resting.interaction_fatigue, resting.available_time) == (149, 3, 540)
    assert resting.last_updated == service.clock.now()


async def test_short_turns_are_not_lost_to_rounding(service: Service) -> None:
    for turn in range(40):
        service.clock.pass_seconds(3)
        last = await interact(service, f"i{turn}", 3)
    assert (last.social_energy, last.interaction_fatigue, last.available_time) == (148, 4, 473)  # 10 s for the first


async def test_a_persona_that_gave_all_its_time_is_unavailable_until_it_has_rested(service: Service) -> None:
    tired = await interact(service, "i1", 3600)
    assert (tired.available_time, tired.is_available) == (0, False)
    service.clock.pass_seconds(31)
    assert (await get_context(service)).interaction_state.is_available


async def test_an_interaction_delivered_again_changes_nothing(service: Service) -> None:
    once = await interact(service, "i1", 120)
    assert await interact(service, "i1", 120) == once
    await interact(service, "i2", 30)
    service.clock.pass_seconds(5)
    assert (await interact(service, "i1", 120)).available_time == 600 - 150 + 5


async def test_interactions_of_one_player_at_the_same_moment_all_count_once(service: Service) -> None:
    deliveries = [f"i{number}" for number in range(6)] * 2
    await asyncio.gather(*(interact(service, one, 30) for one in deliveries))
    state = (await get_context(service)).interaction_state
    assert (state.available_time, state.interaction_fatigue) == (600 - 180, 6)


async def test_one_player_does_not_tire_the_persona_for_another(service: Service) -> None:
    await interact(service, "i1", 590)
    assert not (await get_view(service, ARIA, "p1")).interaction_state.is_available
    assert (await get_view(service, ARIA, "p2")).interaction_state.available_time == 600
    assert (await get_view(service, KIRA, "p1")).interaction_state.available_time == 300


async def test_the_memory_of_applied_interactions_is_bounded(service: Service) -> None:
    for number in range(40):
        await interact(service, f"i{number}", 0)
    kept = await service.rows.fetchval("SELECT recent_interactions FROM persona.interaction_states")
    assert kept == [f"i{number}" for number in range(8, 40)]


async def test_an_interaction_by_name_is_stored_with_the_persona_it_names(service: Service) -> None:
    await interact(service, "i1", 120, reference="aRIA")
    assert (await get_context(service)).interaction_state.available_time == 480


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"player_id": "p1", "interaction_id": "i1", "duration_seconds": -1},
        {"player_id": "p1", "interaction_id": "i1", "duration_seconds": 3601},
        {"player_id": "", "interaction_id": "i1", "duration_seconds": 1},
        {"player_id": "a\0b", "interaction_id": "i1", "duration_seconds": 1},
        {"player_id": "p1", "interaction_id": "i" * 201, "duration_seconds": 1},
        {"player_id": "p1", "interaction_id": "i1", "duration_seconds": 1, "more": 1},
    ],
)
async def test_a_malformed_interaction_is_refused_and_nothing_stored(service: Service, body: dict[str, object]) -> None:
    answer = await service.http.post(f"/{ARIA}/interactions", json=body)
    assert (answer.status_code, answer.json()["code"]) == (422, -32602)
    assert await service.rows.fetchval("SELECT count(*) FROM persona.interaction_states") == 0


@pytest.mark.parametrize("path", [ALL, "/Aria", f"/{ARIA}/turn-context", "/a%00b?player_id=p1"])
async def test_a_missing_player_or_an_impossible_reference_is_a_wrong_parameter(service: Service, path: str) -> None:
    answer = await service.http.get(path)
    assert (answer.status_code, answer.json()["code"]) == (422, -32602)


async def test_the_service_is_ready_while_postgres_answers(service: Service) -> None:
    assert (await service.http.get("http://persona/readyz")).json() == {"status": "ok"}


async def test_metrics_are_labelled_by_route_template_never_by_id(service: Service) -> None:
    await get_context(service)
    text = (await service.http.get("http://persona/metrics")).text
    assert 'route="/v1/{tenant}/personas/{reference}/turn-context"' in text
    assert ARIA not in text
