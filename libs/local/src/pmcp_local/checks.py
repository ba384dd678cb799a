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
    personas: list[str] = field(default_factory=list)
    """Made by this visit, to be deleted by it."""
    told: dict[str, Fields] = field(default_factory=dict)
    """Method → its last answer."""

    @property
    def persona_id(self) -> str:
        return self.personas[0] if self.personas else ""

    @property
    def partner_id(self) -> str:
        return self.personas[1] if len(self.personas) > 1 else ""

    def of(self, method: str, key: str) -> str:
        """A value an earlier answer had; empty when it had none, which the server then refuses."""
        return str(self.told.get(method, {}).get(key) or "")


Judge = Callable[[Visit, Fields], str | None]
"""What is wrong with an answer whose form is right; None: nothing."""


def _right(_visit: Visit, _result: Fields) -> str | None:
    return None


def _always(_visit: Visit) -> bool:
    return True


@dataclass(frozen=True, slots=True)
class Check:
    method: str
    params: Callable[[Visit], Fields]
    judge: Judge = _right
    when: Callable[[Visit], bool] = _always
    """A row that is not for this deployment is left out."""


def _nothing(_visit: Visit) -> Fields:
    return {}


def _of_persona(visit: Visit) -> Fields:
    return {"persona_id": visit.persona_id}


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


def _remember_persona(visit: Visit, result: Fields) -> str | None:
    visit.personas.append(result["persona_id"])
    return None


def _forget_persona(visit: Visit, result: Fields) -> str | None:
    deleted = visit.personas.pop()
    return None if result["persona_id"] == deleted else "another persona was deleted"


def _listed(visit: Visit, result: Fields) -> str | None:
    ids = {one["id"] for one in result["personas"]}
    return None if set(visit.personas) <= ids else "the personas just made are not in it"


def _new_persona(role: str) -> Callable[[Visit], Fields]:
    def params(visit: Visit) -> Fields:
        return {
            "name": f"{visit.name} {role}",
            "description": f"A {role} who is only here for a check.",
            "personality_traits": {"openness": 0.8, "agreeableness": 0.7},
            "topic_preferences": {"travel": 80},
            "speaking_style": "Brief and friendly.",
        }

    return params


def _both(visit: Visit) -> Fields:
    return {"persona1_id": visit.persona_id, "persona2_id": visit.partner_id}


def _stored(visit: Visit, result: Fields) -> str | None:
    return _answered("response")(visit, result) or (None if result["memory_stored"] else "the turn was not stored")


def _talk(visit: Visit) -> Fields:
    return {"conversation_id": visit.of("conversation.start", "conversation_id")}


def _spoke(visit: Visit, result: Fields) -> str | None:
    if result["speaker_id"] != visit.persona_id:
        return "the first persona was to speak first"
    return _answered("content")(visit, result)


def _moved(_visit: Visit, result: Fields) -> str | None:
    return None if result["updated_relationship"] else "nothing was updated"


def _is(key: str) -> Callable[[Visit, Fields], str | None]:
    def judge(_visit: Visit, result: Fields) -> str | None:
        return None if result[key] else f"{key} is {result[key]!r}"

    return judge


def _stream(visit: Visit) -> Fields:
    return {"stream_id": visit.of("persona.chat_stream", "stream_id")}


def _token(visit: Visit) -> Fields:
    return {
        "session_id": visit.of("session.open", "session_id"),
        "resume_token": visit.of("session.open", "resume_token"),
        "streams": [],
    }


def _memory(visit: Visit) -> Fields:
    """The first one the visit had remembered."""
    return {"memory_id": visit.told["memory.get"]["memory"]["id"]}


def _has_stored(visit: Visit, result: Fields) -> str | None:
    ids = [one["id"] for one in result["memories"]]
    return None if visit.of("memory.store", "memory_id") in ids else "the memory just stored is not in it"


def _record(key: str, expected: Callable[[Visit], object]) -> Judge:
    def judge(visit: Visit, result: Fields) -> str | None:
        found = result["memory"][key]
        return None if found == expected(visit) else f"{key} is {found!r}"

    return judge


def _found_across(visit: Visit, result: Fields) -> str | None:
    found = [(one["memory_id"], one["source"]) for one in result["memories"]]
    return None if (_memory(visit)["memory_id"], "cross_persona") in found else "the shared memory was not found"


def _counted_shared(visit: Visit, result: Fields) -> str | None:
    counts = result["shared_memory_statistics"]["by_persona"][visit.persona_id]
    return None if (counts["shared"], counts["cross_references"]) == (1, 1) else f"counted {counts}"


def _needs_nothing(_visit: Visit, result: Fields) -> str | None:
    return "so few memories need pruning" if result["recommendations"]["needs_pruning"] else None


def _was_stopped(visit: Visit) -> bool:
    return not visit.told["memory.decay_stats"]["decay_statistics"]["background_running"]


def _knows_itself(_visit: Visit, result: Fields) -> str | None:
    names = {method["name"] for method in result["methods"]}
    return None if "rpc.discover" in names else "it does not list itself"


CHECKS: tuple[Check, ...] = (
    Check("rpc.discover", _nothing, _knows_itself),
    Check("system.status", _nothing, _says("system_status", "operational")),
    Check("system.models", _nothing, _says("llm_available", True)),
    Check("persona.create", _new_persona("bard"), _remember_persona),
    Check("persona.create", _new_persona("scholar"), _remember_persona),
    Check("persona.list", _nothing, _listed),
    Check("persona.get", _of_persona),
    Check("persona.update", lambda v: {**_of_persona(v), "background": "Came a long way."}),
    Check("persona.switch", _of_persona, _own_persona),
    Check("persona.status", _nothing),
    Check(
        "session.get_info", _nothing, lambda v, r: None if r["active_persona_id"] == v.persona_id else "not switched"
    ),
    Check("visual.update", lambda v: {"type": "scene", "data": {"place": "a quiet room"}}, _is("visual_updated")),
    Check("persona.chat", lambda v: {"message": "Good day! Who are you?", "token_budget": 60}, _answered("response")),
    Check(
        "persona.chat_stream",
        lambda v: {"message": "I am only passing through.", "token_budget": 60},
        _answered("full_response"),
    ),
    Check("stream.read", _stream, _says("state", "done")),
    Check("stream.cancel", _stream, _says("status", "done")),
    Check(
        "conversation.send_message",
        lambda v: {"content": "The bridge is down.", "sender": v.name, "room_id": "check", "token_budget": 60},
        _stored,
    ),
    Check("conversation.get_history", _nothing, lambda v, r: None if len(r["messages"]) == 3 else "not all is there"),
    Check("memory.store", lambda v: {"content": "The bridge will be mended by spring."}, _is("stored")),
    Check("memory.stats", _nothing, _is("total_memories")),
    Check("memory.get_stats", _nothing, _is("newest_memory")),
    Check("persona.memory", lambda v: {"query": "bridge"}, _is("total_found")),
    Check("memory.search", lambda v: {"query": "passing through"}),
    Check("memory.list", _nothing, _has_stored),
    Check(
        "memory.get",
        lambda v: {"memory_id": v.of("memory.store", "memory_id")},
        _record("content", lambda v: "The bridge will be mended by spring."),
    ),
    Check(
        "memory.edit",
        lambda v: {**_memory(v), "importance": 0.7, "visibility": "shared", "related_personas": [v.partner_id]},
        _record("related_personas", lambda v: [v.partner_id]),
    ),
    Check("memory.pin", _memory, _record("pinned", lambda v: True)),
    Check(
        "memory.search_cross_persona",
        lambda v: {"persona_id": v.partner_id, "query": "When will the bridge be mended?"},
        _found_across,
    ),
    Check("memory.shared_stats", _nothing, _counted_shared),
    Check("memory.store", lambda v: {"content": "There is a ferry until then.", "visibility": "shared"}, _is("stored")),
    Check(
        "memory.merge",
        lambda v: {**_memory(v), "other_ids": [v.of("memory.store", "memory_id")]},
        _record("id", lambda v: _memory(v)["memory_id"]),
    ),
    Check("memory.prune", _nothing, _says("status", "no_pruning_needed")),
    Check("memory.prune_recommendations", _nothing, _needs_nothing),
    Check("memory.prune_all", lambda v: {"dry_run": True}, _says("status", "global_pruning_previewed")),
    Check("memory.prune_stats", _nothing),
    Check("memory.decay_force", lambda v: {"decay_factor": 0.05}, _is("memories_processed")),
    Check("memory.decay_stats", _nothing),
    Check("memory.decay_stop", _nothing, _says("status", "background_decay_stopped")),
    Check("memory.decay_start", _nothing, _says("status", "background_decay_started")),
    Check("memory.decay_stop", _nothing, when=_was_stopped),
    Check("memory.export", _nothing, _is("memories")),
    Check("memory.forget", _memory, _is("forgotten")),
    Check("relationship.update", lambda v: {**_both(v), "interaction_quality": 0.5}, _moved),
    Check("relationship.get", _both, _is("exists")),
    Check("relationship.list", _nothing),
    Check("relationship.compatibility", _both),
    Check("relationship.stats", _nothing),
    Check("persona.relationship", lambda v: {"target_persona": v.partner_id}),
    Check("emotional.update_state", lambda v: {"mood": 0.5}, _is("success")),
    Check("emotional.get_state", _nothing),
    Check("state.save", lambda v: {"label": v.name}, _is("state_saved")),
    Check("state.list", _nothing, lambda v, r: None if r["saves"][0]["label"] == v.name else "the save is not in it"),
    Check("state.load", lambda v: {"save_id": v.of("state.save", "save_id")}, _is("state_loaded")),
    Check("conversation.start", lambda v: {**_both(v), "topic": "travel", "token_budget": 200}, _is("started")),
    Check("conversation.advance", _talk, _spoke),
    Check("conversation.status", _talk, _says("turn_count", 1)),
    Check("conversation.end", _talk, _is("ended")),
    Check("session.open", _nothing),
    Check("session.ping", lambda v: {"heads": {}}),
    Check("session.resume", _token),
    Check("memory.erase", _nothing, _is("erased")),
    Check("session.clear", lambda v: {"forget": True}, _is("forgotten")),
    Check("persona.delete", lambda v: {"persona_id": v.partner_id}, _forget_persona),
    Check("persona.delete", _of_persona, _forget_persona),
)
"""Whatever is made is removed by the last rows, which run whatever became of those before."""
