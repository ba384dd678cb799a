"""What a history is made of: what clients saw, what the servers hold at the end, what was done to them. Pure types.

Above it: `history` (writes and reads them as JSON lines) and `history_checker`. Times `at` are seconds of the
machine's monotonic clock, so that histories written by several processes of one machine can be compared.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RequestSent:
    """`marker` is in the message and nowhere else, except in a repetition of the same message."""

    at: float
    client: str
    request: str
    tenant: str
    player: str
    marker: str
    conversation: str = ""
    """Empty: its order is not checked."""
    principal: str = "local"
    idempotency_key: str | None = None
    streaming: bool = True
    kind: str = "sent"


@dataclass(frozen=True, slots=True)
class RequestAccepted:
    at: float
    client: str
    request: str
    stream: str
    message_id: str
    epoch: str = ""
    durability: str = "durable"
    kind: str = "accepted"


@dataclass(frozen=True, slots=True)
class RequestRefused:
    """An error answered the request. `code` 0: the client library gave up and said so."""

    at: float
    client: str
    request: str
    code: int
    kind: str = "refused"


@dataclass(frozen=True, slots=True)
class FrameSeen:
    """A chunk as it came over the wire, before the client dropped repetitions. Covers `first_seq`..`seq`."""

    at: float
    client: str
    stream: str
    epoch: str
    first_seq: int
    seq: int
    text: str
    attempt: int = 1
    kind: str = "frame"


@dataclass(frozen=True, slots=True)
class EndSeen:
    """`seq` None: an end without a position. `text` None: the end frame carries no text of its own."""

    at: float
    client: str
    stream: str
    epoch: str
    seq: int | None
    state: str
    finish_reason: str
    sha256: str
    chars: int | None = None
    text: str | None = None
    message_id: str = ""
    persisted: bool = False
    kind: str = "end"


@dataclass(frozen=True, slots=True)
class StreamResumed:
    """A client asked for what follows `last_seq` (`session.resume` or `stream.read`) and got this answer."""

    at: float
    client: str
    stream: str
    epoch: str
    """The epoch that is valid now."""
    last_seq: int
    recovered: bool
    reason: str = ""
    kind: str = "resumed"


@dataclass(frozen=True, slots=True)
class CancelAsked:
    at: float
    client: str
    stream: str
    heard_chars: int | None = None
    kind: str = "cancel"


@dataclass(frozen=True, slots=True)
class SocketClosed:
    at: float
    client: str
    code: int
    reason: str = ""
    kind: str = "closed"


@dataclass(frozen=True, slots=True)
class ClientLeft:
    """It went on purpose and does not come back: nobody is there to see the ends of its streams."""

    at: float
    client: str
    kind: str = "left"


@dataclass(frozen=True, slots=True)
class MarkerPlanted:
    """A text in `[[…]]` that only this player may ever see, in a memory or a persona, say."""

    tenant: str
    player: str
    marker: str
    kind: str = "planted"


@dataclass(frozen=True, slots=True)
class TextShown:
    """Any other text somebody got: a search result, a status, a log line."""

    tenant: str
    player: str
    where: str
    text: str
    kind: str = "shown"


@dataclass(frozen=True, slots=True)
class RowHeld:
    """A row of turns in Postgres at the end; `position` counts the rows of its conversation as they are read back."""

    tenant: str
    player: str
    conversation: str
    position: int
    role: str
    message_id: str
    content: str
    kind: str = "row"


@dataclass(frozen=True, slots=True)
class EventHeld:
    """An event of a stream in Redis, at the end or in a life of its data that is over. `state` is set in the terminal
    one, whose `text` is the whole."""

    tenant: str
    stream: str
    epoch: str
    seq: int
    text: str
    state: str | None = None
    sha256: str = ""
    kind: str = "event"


@dataclass(frozen=True, slots=True)
class ModelCall:
    """A call on the reply path, from the model server's log. `ended` None: still alive when the log was read."""

    marker: str
    """The last one of the last user message."""
    started: float
    ended: float | None
    prompt_markers: tuple[str, ...] = ()
    kind: str = "call"


@dataclass(frozen=True, slots=True)
class FaultDone:
    """`hides_hangup`: while it lasts, a process cannot close its connection to the model server (it is paused, or the
    network is silent), so a second live call of its job is the fault's doing."""

    at: float
    until: float
    target: str
    action: str
    hides_hangup: bool = False
    kind: str = "fault"


@dataclass(frozen=True, slots=True)
class SectionHeld:
    """All of `rows`, `events` or `calls` were recorded, so that a missing one is really missing."""

    section: str
    kind: str = "section"


ClientEntry = (
    RequestSent
    | RequestAccepted
    | RequestRefused
    | FrameSeen
    | EndSeen
    | StreamResumed
    | CancelAsked
    | SocketClosed
    | ClientLeft
)
HeldEntry = MarkerPlanted | TextShown | RowHeld | EventHeld | ModelCall | FaultDone | SectionHeld
Entry = ClientEntry | HeldEntry

TYPES: dict[str, type[Entry]] = {
    "sent": RequestSent,
    "accepted": RequestAccepted,
    "refused": RequestRefused,
    "frame": FrameSeen,
    "end": EndSeen,
    "resumed": StreamResumed,
    "cancel": CancelAsked,
    "closed": SocketClosed,
    "left": ClientLeft,
    "planted": MarkerPlanted,
    "shown": TextShown,
    "row": RowHeld,
    "event": EventHeld,
    "call": ModelCall,
    "fault": FaultDone,
    "section": SectionHeld,
}
