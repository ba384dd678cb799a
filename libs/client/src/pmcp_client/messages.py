"""What is sent for a call: its parameters, completed, and whether they may be sent twice. Pure but for its clock.

Above it: `connection`. Rule: a message goes under one key until it is answered, however often it is sent, also when its
caller gave up waiting and asks again: under another key it would be another message.
"""

from __future__ import annotations

import uuid
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

from pmcp_common.contracts.methods import METHODS

KEY = "idempotency_key"
LEAVING = frozenset({"conversation.end", "session.clear"})
"""After these the session talks to nobody, and means it."""
REMEMBER_SECONDS = 300.0
"""A reply takes no longer: the same words after that are a new message."""
MAX_UNANSWERED = 1000

Params = dict[str, Any]


class Messages:
    def __init__(self, monotonic: Callable[[], float], player_id: str | None = None) -> None:
        self._monotonic = monotonic
        self._player_id = player_id
        self._unanswered: OrderedDict[str, tuple[float, str]] = OrderedDict()
        """Keys of messages whose callers gave up, with the time until which they are remembered."""
        self.persona: Params | None = None
        """How to choose again whom the session talks to, in a new session; None: nobody."""

    def complete(self, method: str, params: Mapping[str, Any] | None) -> tuple[Params, bool]:
        """The parameters to send, and whether they may be sent twice."""
        complete = self.with_player(params)
        row = METHODS.get(method)
        if row is None or not row.keyed:
            return complete, row is not None and row.repeatable
        if KEY not in complete:
            complete[KEY] = self._key_of(_name(method, complete))
        return complete, True

    def with_player(self, params: Mapping[str, Any] | None) -> Params:
        named = {} if self._player_id is None else {"player_id": self._player_id}
        return {**named, **(params or {})}

    def answered(self, method: str, params: Mapping[str, Any] | None, result: Mapping[str, Any]) -> None:
        """A call may change whom the session talks to."""
        if method == "persona.switch":
            self.persona = self.with_player(params)
        elif method == "state.load":
            persona_id = result.get("current_persona_id")
            self.persona = self.with_player({"persona_id": persona_id}) if persona_id else None
        elif method in LEAVING:
            self.persona = None

    def gave_up(self, method: str, params: Params) -> None:
        """Nobody waits for this message any more; the next one like it is the same one."""
        if KEY in params:
            name = _name(method, params)
            self._unanswered[name] = (self._monotonic() + REMEMBER_SECONDS, str(params[KEY]))
            self._unanswered.move_to_end(name)
            if len(self._unanswered) > MAX_UNANSWERED:
                self._unanswered.popitem(last=False)

    def _key_of(self, name: str) -> str:
        until, key = self._unanswered.pop(name, (0.0, ""))
        return key if self._monotonic() < until else uuid.uuid4().hex


def _name(method: str, params: Params) -> str:
    return repr((method, sorted((name, value) for name, value in params.items() if name != KEY)))
