"""One visitor's whole conversation with a deployment, frame by frame: every method with success, every shape, every
method with a refusal. Comes as a player nobody knows, to a model that always says the same."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pmcp_common.contracts.methods import METHODS
from pmcp_common.testing.fake_model_script import Behaviour
from pmcp_local.checks import CHECKS, Check, Visit
from tests.journey.conftest import World, new_player, quick
from tests.journey.wire import Frame, ask, raw_socket

TEXT = "The road was long and the inns were warm."


@dataclass(frozen=True, slots=True)
class Asked:
    method: str
    request: Frame
    frames: list[Frame]

    @property
    def result(self) -> dict[str, Any]:
        result: dict[str, Any] = self.frames[-1]["result"]
        return result


def _both(visit: Visit) -> dict[str, Any]:
    return {"persona1_id": visit.persona_id, "persona2_id": visit.partner_id}


SHAPES: tuple[Check, ...] = (
    Check("relationship.get", lambda v: {"persona_id": v.persona_id}),
    Check("relationship.get", lambda v: {"persona1_id": "aria", "persona2_id": v.partner_id}),
    Check(
        "relationship.update",
        lambda v: {
            "persona_id": v.persona_id,
            "target_persona_id": v.partner_id,
            "relationship_type": "friend",
            "strength": 0.5,
        },
    ),
    Check("relationship.compatibility", lambda v: {"persona1_id": "Aria", "persona2_id": "Kira"}),
    Check("persona.relationship", lambda v: {}),
    Check("persona.relationship", lambda v: {"target_persona": "aria"}),
    Check("conversation.status", lambda v: {}),
    Check("memory.stats", lambda v: {"persona_id": v.partner_id}),
    Check("system.status", lambda v: {}),
    Check("memory.prune_all", lambda v: {}),
)
"""Of methods that answer in more than one shape: those that CHECKS does not ask for. Come before `session.open`."""
ALONE: tuple[Check, ...] = (Check("memory.decay_force", lambda v: {}),)
"""The same, on a session that has left its persona. Come after `session.clear`."""

REFUSED: dict[str, Any] = {
    "persona.list": {"player_id": "persona:aria"},
    "persona.switch": {},
    "persona.status": {"persona_id": "nobody-here"},
    "persona.get": {"persona_id": "nobody-here"},
    "persona.create": {},
    "persona.update": {"persona_id": "nobody-here", "description": "New."},
    "persona.delete": {"persona_id": "nobody-here"},
    "persona.relationship": {},
    "persona.memory": {"query": "bridge"},
    "persona.chat": {"message": "Hello"},
    "persona.chat_stream": {"message": "Hello"},
    "conversation.send_message": {"content": "Hello", "sender": "@bob:localhost"},
    "conversation.get_history": {},
    "conversation.start": {"persona1_id": "nobody-here", "persona2_id": "aria"},
    "conversation.advance": {},
    "conversation.status": {"conversation_id": "conv_none"},
    "conversation.end": {"conversation_id": "conv_none"},
    "memory.search": {},
    "memory.store": {},
    "memory.stats": {},
    "memory.get_stats": {"persona_id": "nobody-here"},
    "memory.prune": {},
    "memory.prune_recommendations": {"persona_id": "nobody-here"},
    "memory.decay_force": {"persona_id": "nobody-here"},
    "memory.search_cross_persona": {},
    "relationship.get": {"persona1_id": "aria"},
    "relationship.list": {},
    "relationship.compatibility": {"persona1_id": "nobody-here", "persona2_id": "aria"},
    "relationship.update": {"persona1_id": "aria", "persona2_id": "kira", "interaction_quality": 3},
    "emotional.get_state": {},
    "emotional.update_state": {"persona_id": "nobody-here", "mood": 0.5},
    "state.load": {"save_id": "nothing-saved"},
    "visual.update": {"type": "not a word!", "data": {}},
    "session.clear": {"forget": "perhaps"},
    "session.resume": {"session_id": "none", "resume_token": "none", "streams": [], "protocol": "x"},
    "session.open": {"protocol": "x"},
    "session.ping": {"heads": []},
    "stream.cancel": {"stream_id": "none"},
    "stream.read": {"stream_id": "none"},
}
"""What a client typically gets wrong; methods that are not here are sent parameters that are no object."""


def rows() -> Iterator[Check]:
    for check in CHECKS:
        if check.method == "session.open":
            yield from SHAPES
        yield check
        if check.method == "session.clear":
            yield from ALONE


async def successes(world: World) -> list[Asked]:
    """Every row of CHECKS and SHAPES in order; each is what its judge wants."""
    world.script(quick(default=Behaviour(text=TEXT)))
    visit = Visit(new_player())
    answers = []
    async with raw_socket(world.gateways[0]) as socket:
        for number, check in enumerate(rows()):
            if not check.when(visit):
                continue
            params = {"player_id": visit.name, **check.params(visit)}
            request = {"jsonrpc": "2.0", "id": f"g{number}", "method": check.method, "params": params}
            frames = await ask(socket, request)
            assert "error" not in frames[-1], (check.method, frames[-1])
            if check not in (*SHAPES, *ALONE):
                visit.told[check.method] = frames[-1]["result"]
            assert check.judge(visit, frames[-1]["result"]) is None, (check.method, frames[-1])
            answers.append(Asked(check.method, request, frames))
    return answers


async def refusals(world: World) -> list[Asked]:
    """Every method once, on a session that has chosen nobody, with parameters it refuses."""
    answers = []
    async with raw_socket(world.gateways[0]) as socket:
        for number, method in enumerate(METHODS):
            params = REFUSED.get(method, [])
            request = {"jsonrpc": "2.0", "id": number, "method": method, "params": params}
            frames = await ask(socket, request)
            assert "error" in frames[-1], (method, frames[-1])
            answers.append(Asked(method, request, frames))
    return answers
