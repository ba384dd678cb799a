"""What clients do over the socket can be done over HTTP, with the same models and the same errors."""

from __future__ import annotations

from typing import Any

import pytest

from pmcp_common.contracts.errors import BY_CODE
from pmcp_common.contracts.methods import METHODS

from .conftest import Service

PERSONAS, ONE = "/v1/{tenant}/personas", "/v1/{tenant}/personas/{reference}"
PAIR = "/v1/{tenant}/relationships/{one}/{other}"
OPERATIONS: dict[str, tuple[str, str, str, str]] = {
    "persona.list": ("get", PERSONAS, "200", "PersonaList"),
    "persona.get": ("get", ONE, "200", "PersonaView"),
    "persona.status": ("get", ONE, "200", "PersonaView"),
    "persona.create": ("post", PERSONAS, "201", "Persona"),
    "persona.update": ("patch", ONE, "200", "Persona"),
    "persona.delete": ("delete", ONE, "200", "PersonaDeleted"),
    "conversation.end": ("post", f"{ONE}/cooldown", "200", "InteractionState"),
    "relationship.get": ("get", PAIR, "200", "RelationshipBetween"),
    "relationship.list": ("get", f"{ONE}/relationships", "200", "RelationshipList"),
    "relationship.compatibility": ("get", f"{PAIR}/compatibility", "200", "Compatibility"),
    "relationship.stats": ("get", "/v1/{tenant}/relationships/stats", "200", "RelationshipStats"),
    "relationship.update": ("post", f"{PAIR}/meetings", "200", "RelationshipBetween"),
    "emotional.get_state": ("get", f"{ONE}/emotions", "200", "Emotion"),
    "emotional.update_state": ("patch", f"{ONE}/emotions", "200", "Emotion"),
}
ELSEWHERE = frozenset(
    {"persona.switch", "persona.chat", "persona.chat_stream", "persona.memory", "persona.relationship"}
)
"""Of a session, or of the memory service, or another word for one of the above."""


def test_every_operation_on_personas_has_its_route() -> None:
    of_personas = {name for name in METHODS if name.startswith(("persona.", "relationship.", "emotional."))}
    assert of_personas - ELSEWHERE == OPERATIONS.keys() - {"conversation.end"}


async def test_the_document_names_each_model_and_its_problems(service: Service) -> None:
    paths = (await service.http.get("http://persona/openapi.json")).json()["paths"]
    for method, (verb, path, status, model) in OPERATIONS.items():
        responses = paths[path][verb]["responses"]
        schema = responses[status]["content"]["application/json"]["schema"]
        assert schema == {"$ref": f"#/components/schemas/{model}"}, method
        for problems in ("4XX", "5XX"):
            assert "application/problem+json" in responses[problems]["content"], method


REFUSED: tuple[tuple[str, str, Any, int, int], ...] = (
    ("GET", "personas/nobody?player_id=p", None, 404, -32000),
    ("PATCH", "personas/nobody", {"charisma": 3}, 404, -32000),
    ("DELETE", "personas/nobody", None, 404, -32000),
    ("POST", "personas", {}, 422, -32602),
    ("POST", "personas", {"name": "ARIA"}, 409, -32012),
    ("PATCH", "personas/aria", {"expected_version": 9}, 409, -32012),
    ("GET", "relationships/aria/nobody", None, 404, -32000),
    ("GET", "relationships/aria/nobody/compatibility", None, 404, -32000),
    ("POST", "relationships/aria/kira/meetings", {"quality": 3}, 422, -32602),
    ("GET", "personas/nobody/emotions?player_id=p", None, 404, -32000),
    ("GET", "nothing", None, 404, -32011),
)


async def test_an_error_is_a_problem_with_the_code_of_the_protocol(service: Service) -> None:
    for verb, path, body, status, code in REFUSED:
        answer = await service.http.request(verb, f"http://persona/v1/local/{path}", json=body)
        assert answer.headers["content-type"] == "application/problem+json", path
        problem = answer.json()
        assert (answer.status_code, problem["status"], problem["code"]) == (status, status, code), path
        assert problem["title"]
        assert code in BY_CODE


async def test_one_life_of_a_persona_over_http(service: Service) -> None:
    async def call(verb: str, path: str, body: Any = None) -> dict[str, Any]:
        answer = await service.http.request(verb, f"http://persona/v1/local/{path}", json=body)
        assert answer.is_success, answer.text
        found: dict[str, Any] = answer.json()
        return found

    made = await call("POST", "personas", {"name": "Mira", "charisma": 15, "extras": {"boat": "Heron"}})
    assert (made["charisma"], made["extras"]) == (15, {"boat": "Heron"})
    names = [one["persona"]["name"] for one in (await call("GET", "personas?player_id=p"))["personas"]]
    assert names == ["Aria", "Kira", "Mira"]
    assert (await call("PATCH", "personas/mira", {"charisma": 16}))["version"] == 2
    told = {"quality": 1.0, "duration_minutes": 30, "context": "a duel of songs", "cause_id": "c1"}
    met = await call("POST", "relationships/mira/aria/meetings", told)
    assert met["relationship"]["affinity"] == pytest.approx(0.05)
    known = await call("GET", "personas/mira/relationships?player_id=p")
    assert [one["other_id"] for one in known["relationships"]] == [met["persona2"]["id"]]
    assert (await call("GET", "relationships/mira/aria/compatibility"))["existing_relationship"] is True
    mood = await call("PATCH", "personas/mira/emotions", {"mood": -0.5, "cause_id": "c2"})
    assert mood["mood"] == (await call("GET", "personas/MIRA/emotions?player_id=p"))["mood"] == -0.5
    assert (await call("GET", "relationships/stats"))["personas"]["total_relationships"] == 1
    end = {"player_id": "p", "interaction_id": "e1", "continue_score": 20.0}
    assert (await call("POST", "personas/mira/cooldown", end))["cooldown_remaining"] == 600.0
    assert (await call("GET", "personas/mira?player_id=p"))["interaction_state"]["is_available"] is False
    assert (await call("DELETE", "personas/mira"))["name"] == "Mira"
