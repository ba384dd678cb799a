"""The table of `pmcp check`: for each method of the protocol, what is asked and what its answer must say. Pure.

Rows run from top to bottom as one visitor of a deployment; a later row may use what an earlier one was told. Whatever
a row creates, a later row removes. That no method is without a row is a test.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

Fields = dict[str, Any]


@dataclass(slots=True)
class Visit:
    """What the visitor knows so far."""

    name: str
    """Of its own, for whatever it has to name: nobody else's data is touched."""
    persona_id: str = ""
    told: dict[str, Fields] = field(default_factory=dict)
    """Method → its last answer."""

    def of(self, method: str, key: str) -> str:
        """A value an earlier answer had; empty when it had none, which the server then refuses."""
        return str(self.told.get(method, {}).get(key) or "")


Judge = Callable[[Visit, Fields], str | None]
"""What is wrong with an answer whose form is right; None: nothing."""


def _right(_visit: Visit, _result: Fields) -> str | None:
    return None


@dataclass(frozen=True, slots=True)
class Check:
    method: str
    params: Callable[[Visit], Fields]
    judge: Judge = _right


def _nothing(_visit: Visit) -> Fields:
    return {}


def _of_persona(visit: Visit) -> Fields:
    return {"persona_id": visit.persona_id}


def _choose(visit: Visit, result: Fields) -> str | None:
    visit.persona_id = next((one["id"] for one in result["personas"] if one["available"]), "")
    return None if visit.persona_id else "no persona is available"


def _says(key: str, expected: object) -> Judge:
    def judge(_visit: Visit, result: Fields) -> str | None:
        return None if result.get(key) == expected else f"{key} is {result.get(key)!r}"

    return judge


def _answered(text_key: str) -> Judge:
    def judge(_visit: Visit, result: Fields) -> str | None:
        if result.get("response_type") == "fallback" or result.get("degraded") is True:
            return "a canned line: the model did not answer"
        return None if result.get(text_key) else "the reply is empty"

    return judge


def _own_persona(visit: Visit, result: Fields) -> str | None:
    return None if result["persona_id"] == visit.persona_id else "another persona"


CHECKS: tuple[Check, ...] = (
    Check("system.status", _nothing, _says("system_status", "operational")),
    Check("system.models", _nothing, _says("llm_available", True)),
    Check("persona.list", _nothing, _choose),
    Check("persona.switch", _of_persona, _own_persona),
    Check("persona.status", _nothing),
    Check(
        "session.get_info", _nothing, lambda v, r: None if r["active_persona_id"] == v.persona_id else "not switched"
    ),
    Check("persona.chat", lambda v: {"message": "Good day! Who are you?", "token_budget": 60}, _answered("response")),
    Check(
        "persona.chat_stream",
        lambda v: {"message": "I am only passing through.", "token_budget": 60},
        _answered("full_response"),
    ),
    Check("stream.read", lambda v: {"stream_id": v.of("persona.chat_stream", "stream_id")}, _says("state", "done")),
    Check("stream.cancel", lambda v: {"stream_id": v.of("persona.chat_stream", "stream_id")}, _says("status", "done")),
    Check("memory.search", lambda v: {"query": "passing through"}),
)
