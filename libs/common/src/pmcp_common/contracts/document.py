"""docs/protocol.md, written from the contracts (`make docs`).

Every table here is drawn from the same objects the code runs on, so the page cannot say anything else.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from typing import Any

from pydantic import BaseModel

from pmcp_common.contracts import closing, errors, frames, methods
from pmcp_common.contracts.jobs import TERMINAL_STATES, TRANSITIONS, Accepted, Delta, End, JobState

INTRODUCTION = """\
# The wire protocol

<!-- Written by `make docs` from libs/common/src/pmcp_common/contracts. Do not edit: a test compares. -->

JSON-RPC 2.0 over one WebSocket: `ws://host:8000/mcp`, text frames, one JSON object each.
(The MCP of this path is this project's own dialect, older than the Model Context Protocol and not it.)

- Success carries `result` and no `error`; failure carries `error` and no `result`. The only frame with both is the
  end frame of a failed stream.
- `id` is a string or a number and comes back as it was sent. A request without `id` is a notification: it is carried
  out and not answered. `params` may be missing or null. A missing `jsonrpc` is taken as "2.0".
- Batches are refused whole with one -32600: send one request per frame.
- Requests on one socket run at the same time: a stream blocks nothing. At most 16 may be in flight on one socket;
  one more gets -32005. A request whose id is still in flight waits until the one before it is answered. What comes
  after `persona.switch`, `memory.store`, `visual.update`, `state.load` or another quick change begins when that has
  ended: nobody need wait for its answer.
- Limits: a frame 256 KiB, a message 32 KiB of UTF-8.
- Unknown parameters are ignored; one that is null counts as not given. `persona_id` accepts an id or a name, in any
  case.
- The *player* of a message is `player_id` (or `sender`); without it, the session itself. History, private memories and
  a persona's energy, time and fatigue belong to (persona, player).
"""

STREAMS = """\
## Streams

`persona.chat_stream` is answered by frames that repeat the request's id: `stream_start`, any number of `stream_chunk`,
and exactly one of `stream_complete`, `stream_cancelled`, `stream_error`.

- `seq` counts the events of a stream from 1 without gaps, across workers; `stream_start` has 0. Delivery is at least
  once: drop a frame whose `seq` you have. `sha256` of the end frame is over the UTF-8 of all chunks together.
- Chunks that wait for a slow socket are joined: such a frame has `first_seq` and stands for `first_seq`…`seq`.
- `epoch` names the life of the stored data. A position of another epoch means nothing. When the broker's data is lost
  in the middle of a reply, the message is queued again from its record, and the reply begins anew: a second
  `stream_start` says so (`recovered: false`, `reason: "epoch_changed"`, the new `epoch`), `seq` starts at 1 again, and
  what was shown before is void. It takes a few seconds, in which nothing comes.
- `attempt` is 1 unless a worker died.
- A message is accepted once the broker has stored it. `stream_start` follows as soon as it is also in the database's
  record of accepted messages, and says `durability: "durable"`: whichever process dies now, and should the broker lose
  all its data, the message is answered (a power cut of the broker's machine may still take its last second). When the
  reply begins before, or the record takes longer than 250 ms, `stream_start` says `volatile`: the message has outlived
  the death of any process, and may or may not be in the record.
- Every accepted stream ends with exactly one numbered end frame. Should a reply be lost with the broker's data and not
  come back (a volatile one), or the broker not be there 30 s after a reply's deadline, the gateway ends the
  stream itself: `stream_error`, `state: "failed"`, the next `seq`, `sha256` and `partial_response` of what it brought
  (left out when it has not read the stream from its beginning), and no fields that only a worker could know.
- A closed socket does not end a reply: `session.resume` goes on with it on a new socket, and `stream.read` gives the
  rest, both through any gateway, for 10 minutes after the end.
- `idempotency_key`: a message sent again under its key within 24 h is not answered again; its stream is shown from the
  beginning, on the socket that asked. The same key with another message gets -32008; a message whose stream is kept
  no longer gets -32009 with `reason: "not_resumable"` and the ids it had. A client that always sends a key may repeat
  a message whose acceptance it never saw. After a loss of the broker's data a gateway refuses keys it has not seen
  (-32007 with `retry_after`) until all recorded messages are queued again: a repetition never makes a second one.
- `deadline_ms` (1..300000; anything else is refused with -32602) counts from acceptance to the end of the reply.
- `stream.cancel` may say `heard_chars`, how much of the text (in characters) reached the person: the rest does not
  become memory. The first cancel that says so counts; it does not change a reply that has ended.
- `on_interrupt` decides about a reply whose socket is lost and whose stream no other socket has attached within 20 s:
  `continue` (it goes on), `stop` (it is ended, as by a cancel), `reset` (and none of it becomes memory). Any gateway
  does it, also when the one that held the socket is stopped in the meantime.
- A canned line says that it is one: `response_type: "fallback"`, `degraded: true`, `model: ""`. `reason` says why, for
  a missing model with its name and the command that gets it. It is null when the reply is not degraded.
- `persisted: false`: the reply is not in the database (yet; or never, for a canned line).
- `memory: "unavailable"`: the reply was made without recall.
- `"none"` in `memory`, `routing` or `response_type`: the reply ended before that came about.
- `data.timings` of the end frame, in milliseconds: `pickup_ms` from acceptance to a worker, `context_ms` for persona
  and memory, `first_token_ms` from acceptance to the first token stored.
"""

SESSIONS = """\
## Sessions: what survives a socket

A socket has a session from its first frame on. `session.open` makes it one that can be resumed: it gives a
`resume_token`, which is stored as a hash only. Without it everything works as before, for the life of the socket.

1. **Resume.** On a new socket, to any gateway: `session.resume` with the token and, for each stream that has not ended,
   `stream_id`, `epoch` and the `seq` of the newest frame that arrived. The answer gives the next token (each is good
   for one resume; until the first `session.ping` after it, and for 180 s at most, it can be repeated with the same
   token, because its answer may have been lost) and says for each stream whether it is `recovered`.
2. **All or nothing.** Of a recovered stream every event after `last_seq` follows, first what was missed, then live, as
   notifications `stream.event`, whose `params` are what `result` would have been (and hold `error` beside, where a
   frame would have). Of a stream that is not recovered nothing follows; after `epoch_changed`, and after a session that
   is gone with the data, the message under its key brings the reply of the new epoch. `reason`:

   | reason | meaning |
   | --- | --- |
   | `epoch_changed` | the broker's data was lost since then |
   | `expired` | the stream ended, and its events are kept no longer |
   | `gap` | some of its events are missing |
   | `ahead` | the position is beyond the stream |
   | `not_resumable` | there is no such stream (any more), or it is not yours: the two are not told apart |

3. **One socket speaks.** `gen` grows with each open and resume. The newest socket wins: the older one is closed with
   4011, on whichever gateway it is, and a message it still sends gets -32015.
4. **Refusals.** An unknown or expired session gets -32013 and close code 4009. A wrong or used token gets -32014 and
   4001. Neither tells more. After both, open a new session on a new socket: it needs no token, and a message repeated
   under its key brings its reply. Never show the same token again.
5. **Positions.** `session.ping` compares them: a stream whose `heads` entry is beyond what arrived, or that is in
   `behind` though its end never came, has lost frames: drop the socket and resume. Ping every `heartbeat_ms`; the
   gateway also sends WebSocket pings, and drops a socket that leaves one unanswered for 12 s.
6. **A stop.** A gateway that is being stopped sends the notification `session.draining` with `reconnect_ms`, and closes
   with 1012 within 2 s; the reason repeats it, as in `service restart; reconnect_ms=120`. Come back after it, or at
   once to another gateway.

7. **Too many requests.** A client that does not heed -32005 is closed with 4008; the reason says after how many seconds
   to come back, as in `too many requests; retry_after=5`.
8. **Again.** A request whose answer did not come before its socket was lost, or that was refused with `retryable: true`
   and `retry_after`, may be sent again when the table of methods says so: a message under its key, the others as they
   are. After `retry_after` seconds, and a random part of half of them more. Not after an error whose `data` has a
   `stream_id`: so ended a message that was accepted, and under its key it would only be told again.

Clients wait with full jitter between attempts to connect: a random part of 0.5 s, 1 s, 2 s … 30 s. `pmcp_client` does
all of this; a request of it fails when its `timeout_seconds` are over, with the last refusal.
"""

STATES = """\
## The life of a reply

Terminal states absorb: nothing leaves them. `lease_lost` is the death (or the silence) of a worker.
"""


COME_BACK = {
    "yes": "yes, with jitter",
    "no": "no",
    "resume": "yes, resume",
    "new": "yes, with a new session",
    "later": "yes, after the time the reason says",
}


def render() -> str:
    """The whole page."""
    parts = [INTRODUCTION, *_methods(), STREAMS, *_frames(), SESSIONS, *_errors(), *_closing(), STATES, _diagram()]
    return "\n".join(part.rstrip() + "\n" for part in parts)


def _methods() -> Iterator[str]:
    yield "## Methods\n"
    rows = ((f"`{m.name}`", m.summary, _again(m)) for m in methods.METHODS.values())
    yield _table(("method", "what it does", "may be sent again"), rows)
    for method in methods.METHODS.values():
        yield f"### {method.name}\n\n{method.summary}\n"
        yield "Parameters:\n" if method.params.model_fields else "No parameters.\n"
        if method.params.model_fields:
            yield _fields(method.params)
        if method.result is None:
            yield "Result: frames, see [Streams](#streams).\n"
        else:
            yield "Result:\n"
            yield _fields(method.result)


def _again(method: methods.Method) -> str:
    return "under its key" if method.keyed else "yes" if method.repeatable else "no"


def _fields(model: type[BaseModel]) -> str:
    schema = model.model_json_schema(by_alias=False)
    definitions = schema.get("$defs", {})
    required = set(schema.get("required", ()))
    rows = []
    for name, field in schema["properties"].items():
        default = "required" if name in required else f"default {_value(field.get('default'))}"
        rows.append((f"`{name}`", _type(field, definitions), default, field.get("description", "")))
    if issubclass(model, methods.Result):
        return _table(("field", "type", "meaning"), ((name, kind, text) for name, kind, _, text in rows))
    return _table(("parameter", "type", "", "meaning"), rows)


def _type(field: dict[str, Any], definitions: dict[str, Any]) -> str:
    if "$ref" in field:
        name = field["$ref"].rsplit("/", 1)[1]
        inside = definitions[name].get("properties", {})
        return "{" + ", ".join(inside) + "}" if inside else name
    if "anyOf" in field:
        return " or ".join(_type(option, definitions) for option in field["anyOf"])
    if "const" in field:
        return f'"{field["const"]}"'
    if "enum" in field:
        return " \\| ".join(f'"{value}"' for value in field["enum"])
    if field.get("type") == "array":
        return f"list of {_type(field.get('items', {}), definitions)}"
    return str(field.get("type", "any")) + _bounds(field)


def _bounds(field: dict[str, Any]) -> str:
    low, high = field.get("minimum"), field.get("maximum")
    if low is not None and high is not None:
        return f" {low}..{high}"
    return f" ≥ {low}" if low is not None else ""


def _value(value: object) -> str:
    return "none" if value is None else f"`{value}`"


def _frames() -> Iterator[str]:
    """Each frame drawn by the functions that draw the real ones."""
    accepted = Accepted("s", "m", "e", "p", "Aria")
    end = End("s", 3, 1, "done", "stop", "", "", "m", "u", "p", "Aria")
    samples = [
        frames.start_result(accepted, "", 500, "", frames.DURABLE),
        frames.chunk_result(Delta("s", 1, 1, ""), "e", "", 1, 0),
        *(frames.end_result(_in_state(end, state), "e", "") for state in frames.END_TYPES),
    ]
    yield _table(
        ("`event_type`", "fields of `result`", "fields of `result.data`"),
        (
            (
                f"`{sample['event_type']}`",
                ", ".join(name for name in sample if name not in ("data", "event_type")),
                ", ".join(sample.get("data", {})) or "none",
            )
            for sample in samples
        ),
    )
    yield (
        "A `stream_error` frame carries an `error` object beside `result`. "
        "Bad parameters give one with code -32602 and no `stream_start`.\n"
    )


def _in_state(end: End, state: str) -> End:
    return End(**{name: getattr(end, name) for name in End.__dataclass_fields__} | {"state": state})


def _errors() -> Iterator[str]:
    yield "## Errors\n"
    yield (
        "`error.data` has `method`, `retryable`, `detail` and, where it helps, more fields "
        "(`retry_after` in seconds, `persona_id`, `stream_id`).\n"
    )
    yield _table(
        ("code", "name", "meaning", "retry may help"),
        ((str(row.code), row.name, row.meaning, "yes" if row.retryable else "no") for row in errors.TABLE),
    )


def _closing() -> Iterator[str]:
    yield "## Close codes\n"
    rows = ((str(c.code), c.reason, c.when, COME_BACK[c.reconnect]) for c in closing.TABLE)
    yield _table(("code", "reason", "when", "come back"), rows)


def _diagram() -> str:
    lines = ["```mermaid", "stateDiagram-v2", f"    [*] --> {JobState.QUEUED.value}"]
    lines += [f"    {old.value} --> {new.value}: {event.value}" for (old, event), new in TRANSITIONS.items()]
    lines += [f"    {state.value} --> [*]" for state in JobState if state in TERMINAL_STATES]
    return "\n".join([*lines, "```"])


def _table(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    heads = tuple(heads)
    lines = ["| " + " | ".join(heads) + " |", "|" + " --- |" * len(heads)]
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def main() -> None:
    sys.stdout.write(render())


if __name__ == "__main__":
    main()
