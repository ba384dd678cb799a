"""What the fake model server shall do: typed behaviours, one per generation request, and the script dealing them.

Above it: tests, the bench, `POST /fake/script`. Below it: nothing (stdlib only). It holds no socket, no clock.
Rule: a behaviour is a value; only `Script` changes, and only by taking from its queue or being replaced.
"""

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from enum import StrEnum
from typing import Any

DEFAULT_CHAT_MODEL = "llama3.1:8b"
DEFAULT_EMBEDDING_MODEL = "all-minilm:latest"


class Kind(StrEnum):
    """What happens to one request. Those after `OBEY` are faults; `after_tokens` says where in the stream."""

    ANSWER = "answer"
    OBEY = "obey"  # answers with the text of every `SAY: text` line found anywhere in the prompt
    HANG_BEFORE_HEADERS = "hang_before_headers"
    HANG_AFTER_TOKENS = "hang_after_tokens"
    BUSY_503 = "busy_503"
    LIMITED_429 = "limited_429"
    MISSING_404 = "missing_404"
    BROKEN_500 = "broken_500"
    ERROR_LINE = "error_line"  # under HTTP 200, then a clean end of the body
    EOF_WITHOUT_DONE = "eof_without_done"  # a clean end of the body, but no last line
    DROP = "drop"  # FIN in the middle of a chunked body
    RESET = "reset"  # TCP RST in the middle of a chunked body
    GARBAGE_LINE = "garbage_line"  # one line that is no JSON; the stream goes on
    CUT_JSON = "cut_json"  # half a line, then a clean end of the body
    SPLIT_UTF8 = "split_utf8"  # one token whose multi-byte characters are cut between TCP segments
    DRIP = "drip"  # from here on each byte travels alone
    HUGE_LINE = "huge_line"  # one token of `line_bytes` characters


STATUS_OF_KIND: Mapping[Kind, int] = {
    Kind.BUSY_503: 503,
    Kind.LIMITED_429: 429,
    Kind.MISSING_404: 404,
    Kind.BROKEN_500: 500,
}


@dataclass(frozen=True, slots=True)
class Behaviour:
    """How one request is treated. `None` in a timing field means the script's own value."""

    kind: Kind = Kind.ANSWER
    after_tokens: int = 0
    ttft_ms: float | None = None
    gap_ms: float | None = None
    tokens: int | None = None
    text: str | None = None  # said instead of the marker and the numbered tokens
    line_bytes: int = 10_000_000
    message: str | None = None  # the error's text, instead of Ollama's own

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> "Behaviour":
        """Raises `ValueError` for a name that is not a field or a kind that does not exist."""
        known = {item.name for item in fields(cls)}
        unknown = set(document) - known
        if unknown:
            raise ValueError(f"unknown behaviour fields: {sorted(unknown)}")
        values = dict(document)
        if "kind" in values:
            values["kind"] = Kind(values["kind"])
        return cls(**values)


@dataclass(slots=True)
class Script:
    """Timing and behaviours of a server. The queue is taken from first; then every request gets `default`.

    `models` empty means that any model name exists. `by_path` treats requests that are not generations
    (for example `/api/embed`); only statuses, `HANG_BEFORE_HEADERS` and `RESET` make sense there.
    """

    ttft_ms: float = 50.0
    gap_ms: float = 20.0
    tokens: int = 40
    models: tuple[str, ...] = (DEFAULT_CHAT_MODEL, DEFAULT_EMBEDDING_MODEL)
    default: Behaviour = field(default_factory=Behaviour)
    queue: deque[Behaviour] = field(default_factory=deque)
    by_path: dict[str, Behaviour] = field(default_factory=dict)
    embedding_dimension: int = 384
    record_limit: int = 1_000  # requests kept with their prompts; older ones are dropped

    @classmethod
    def of(cls, *behaviours: Behaviour, ttft_ms: float = 0.0, gap_ms: float = 0.0, tokens: int = 5) -> "Script":
        """A fast script for tests: these behaviours in order, then plain answers."""
        return cls(ttft_ms=ttft_ms, gap_ms=gap_ms, tokens=tokens, queue=deque(behaviours))

    def take(self) -> Behaviour:
        return self.queue.popleft() if self.queue else self.default

    def knows(self, model: str) -> bool:
        return not self.models or any(same_model(model, name) for name in self.models)

    def push(self, behaviours: Iterable[Behaviour]) -> None:
        self.queue.extend(behaviours)

    def update(self, document: Mapping[str, Any]) -> None:
        """Takes over the named fields; `queue` replaces the queue. A bad one raises `ValueError`, changes nothing."""
        changes = {name: parse_field(name, value) for name, value in document.items()}
        for name, value in changes.items():
            setattr(self, name, value)


def same_model(asked: str, known: str) -> bool:
    """Ollama's rule: a name without a tag means `:latest`."""
    return with_tag(asked) == with_tag(known)


def with_tag(name: str) -> str:
    return name if ":" in name else f"{name}:latest"


def parse_field(name: str, value: Any) -> Any:
    match name:
        case "default":
            return Behaviour.from_json(value)
        case "queue":
            return deque(Behaviour.from_json(item) for item in value)
        case "by_path":
            return {path: Behaviour.from_json(item) for path, item in value.items()}
        case "models":
            return tuple(str(item) for item in value)
        case "ttft_ms" | "gap_ms":
            return float(value)
        case "tokens" | "embedding_dimension":
            return int(value)
        case _:
            raise ValueError(f"unknown script field: {name}")
