"""May this session do this now, and after what? Pure: tables of what methods need and change, one rule of admission."""

from __future__ import annotations

from enum import Enum

from pmcp_common.contracts.errors import DomainError, TooManyRequests


class PersonaNeed(Enum):
    """What a method needs when the request names no persona."""

    NONE = "none"
    ACTIVE = "active"
    """The session's persona, read before the method runs."""
    IN_BROKER = "in broker"
    """The session's persona, read by the script that stores the job: no round trip of its own."""


PERSONA_NEEDS: dict[str, PersonaNeed] = {
    "persona.list": PersonaNeed.NONE,
    "persona.switch": PersonaNeed.NONE,
    "persona.status": PersonaNeed.ACTIVE,
    "persona.chat": PersonaNeed.IN_BROKER,
    "persona.chat_stream": PersonaNeed.IN_BROKER,
    "rpc.discover": PersonaNeed.NONE,
    "conversation.send_message": PersonaNeed.IN_BROKER,
    "conversation.get_history": PersonaNeed.NONE,
    "conversation.start": PersonaNeed.NONE,
    "conversation.advance": PersonaNeed.NONE,
    "conversation.status": PersonaNeed.NONE,
    "conversation.end": PersonaNeed.NONE,
    "visual.update": PersonaNeed.NONE,
    "session.clear": PersonaNeed.NONE,
    "state.save": PersonaNeed.NONE,
    "state.load": PersonaNeed.NONE,
    "state.list": PersonaNeed.NONE,
    "stream.cancel": PersonaNeed.NONE,
    "stream.read": PersonaNeed.NONE,
    "memory.search": PersonaNeed.ACTIVE,
    "memory.store": PersonaNeed.ACTIVE,
    "memory.stats": PersonaNeed.ACTIVE,
    "memory.get_stats": PersonaNeed.ACTIVE,
    "memory.list": PersonaNeed.ACTIVE,
    "memory.get": PersonaNeed.ACTIVE,
    "memory.edit": PersonaNeed.ACTIVE,
    "memory.pin": PersonaNeed.ACTIVE,
    "memory.merge": PersonaNeed.ACTIVE,
    "memory.forget": PersonaNeed.ACTIVE,
    "memory.export": PersonaNeed.NONE,
    "memory.erase": PersonaNeed.NONE,
    "memory.prune": PersonaNeed.ACTIVE,
    "memory.prune_all": PersonaNeed.NONE,
    "memory.prune_recommendations": PersonaNeed.ACTIVE,
    "memory.prune_stats": PersonaNeed.NONE,
    "memory.decay_start": PersonaNeed.NONE,
    "memory.decay_stop": PersonaNeed.NONE,
    "memory.decay_stats": PersonaNeed.NONE,
    # Without a persona it means all of them.
    "memory.decay_force": PersonaNeed.NONE,
    "memory.search_cross_persona": PersonaNeed.ACTIVE,
    "memory.shared_stats": PersonaNeed.NONE,
    "persona.memory": PersonaNeed.ACTIVE,
    "persona.get": PersonaNeed.NONE,
    "persona.create": PersonaNeed.NONE,
    "persona.update": PersonaNeed.NONE,
    "persona.delete": PersonaNeed.NONE,
    "persona.relationship": PersonaNeed.ACTIVE,
    "relationship.get": PersonaNeed.NONE,
    "relationship.list": PersonaNeed.ACTIVE,
    "relationship.compatibility": PersonaNeed.NONE,
    "relationship.stats": PersonaNeed.NONE,
    "relationship.update": PersonaNeed.NONE,
    "emotional.get_state": PersonaNeed.ACTIVE,
    "emotional.update_state": PersonaNeed.ACTIVE,
    "system.status": PersonaNeed.NONE,
    "system.models": PersonaNeed.NONE,
    "session.get_info": PersonaNeed.NONE,
    "session.open": PersonaNeed.NONE,
    "session.resume": PersonaNeed.NONE,
    "session.ping": PersonaNeed.NONE,
}

WITHOUT_PERSONA = {
    "memory.prune": "No persona specified and no current persona selected",
    "memory.prune_recommendations": "No persona specified and no current persona selected",
    "memory.search_cross_persona": "No active persona. Please switch to a persona first.",
}
"""What existing clients of these methods look for instead of the general text."""

CHANGING = frozenset(
    {
        "persona.switch",
        "persona.create",
        "persona.update",
        "persona.delete",
        "conversation.start",
        "conversation.end",
        "visual.update",
        "session.clear",
        "session.open",
        "session.resume",
        "state.save",
        "state.load",
        "memory.store",
        "memory.edit",
        "memory.pin",
        "memory.merge",
        "memory.forget",
        "memory.erase",
        "relationship.update",
        "emotional.update_state",
    }
)
"""What clients send and build on in the next frame, without waiting for the answer: requests that come later on the
same socket begin after it. Replies and the tending of all memories are not among them, for they may take long."""
AT_ONCE = frozenset({"stream.cancel", "session.ping"})
"""What does not wait for those, but for the two that say who the socket is: until they are through, it knows an older
generation of its session than the store does, and would take itself for replaced."""
IDENTIFYING = frozenset({"session.open", "session.resume"})

FENCED = frozenset(
    {"stream.cancel", "visual.update", "state.load", "conversation.start", "conversation.advance", "conversation.end"}
)
"""What an older socket of a session may not do any more. The scripts that store messages and personas look themselves,
and none of these is on the way of a message."""

REFUSED_WHOLE = frozenset(
    {
        "persona.chat",
        "persona.chat_stream",
        "conversation.send_message",
        "persona.switch",
        "visual.update",
        "stream.cancel",
        "session.ping",
    }
)
"""Have done nothing when they are refused because of the session's generation."""


def refusal(in_flight: int, limit: int) -> DomainError | None:
    """Why one more request may not start now; None: it may."""
    if in_flight >= limit:
        return TooManyRequests(f"At most {limit} requests may be in flight on one socket", limit=limit)
    return None
