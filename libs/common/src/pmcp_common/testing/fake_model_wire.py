"""The fake model's two dialects as pure functions: request bodies to calls, tokens to lines as Ollama sends them.

Above it: `fake_model`. Below it: `fake_model_script`. No socket, clock or counter: times come as arguments.
Rule: what leaves here is the real wire format, field by field; a fault is made from a correct line.
"""

import hashlib
import random
import re
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

import orjson

from pmcp_common.testing.fake_model_script import Behaviour, Kind, Script, with_tag

MARKER = re.compile(r"\[\[[^\[\]]+\]\]")
TAIL_NUMBER = re.compile(r"([0-9]{1,18})\]\]$")
INSTRUCTION = re.compile(r"SAY:[ \t]*([^\n]+)")
WORDS = re.compile(r"\s*\S+|\s+$")
NO_MARKER_TOKEN = "Hello"  # noqa: S105 - a language model's token
MULTIBYTE_TOKEN = " nai\u0308ve \U0001f31f"  # noqa: S105 - ends in a character of four UTF-8 bytes
GARBAGE = b"<html>502 Bad Gateway</html>"
NUMBERED = tuple(b'" w%d"' % number for number in range(4_096))

ERROR_TEXTS: Mapping[int, str] = {
    429: "too many requests, please slow down",
    500: "llama runner process has terminated: signal: killed",
    503: "server busy, please try again.  maximum pending requests exceeded",
}
ERROR_TYPES: Mapping[int, str] = {
    400: "invalid_request_error",
    404: "not_found_error",
    429: "rate_limit_error",
}
RUNNER_ERROR = "an error was encountered while running the model: unexpected EOF"


class BadRequest(ValueError):
    """The body is not a request of this API; the text is what Ollama would answer under 400."""


@dataclass(frozen=True, slots=True)
class ChatCall:
    """One generation request in either dialect. `cap` is the output limit in tokens; None means none."""

    model: str
    messages: tuple[Mapping[str, Any], ...]
    stream: bool
    cap: int | None
    include_usage: bool
    body: Mapping[str, Any]

    @property
    def last_user_text(self) -> str:
        return next((text_of(item) for item in reversed(self.messages) if item.get("role") == "user"), "")

    @property
    def prompt_text(self) -> str:
        return "\n".join(text_of(item) for item in self.messages)

    def marker(self, answered: Container[str] = ()) -> str:
        """The `[[marker]]` of the newest message in the last user message, or an empty string.

        Prompts may quote older messages behind and before the new one. Clients number their messages upwards, so that
        the highest number at a marker's end is the newest; without numbers it is the last one not answered yet.
        """
        found = [str(marker) for marker in MARKER.findall(self.last_user_text)]
        ranked = [(_number(marker), marker not in answered, place) for place, marker in enumerate(found)]
        return found[max(ranked)[2]] if ranked else ""


def _number(marker: str) -> int:
    tail = TAIL_NUMBER.search(marker)
    return int(tail.group(1)) if tail else 0


@dataclass(frozen=True, slots=True)
class Timing:
    """Durations of one generation in nanoseconds, and its token counts, for the last line."""

    total_ns: int
    first_token_ns: int
    prompt_tokens: int
    tokens: int


@dataclass(frozen=True, slots=True)
class Answer:
    """What will be said. `pieces` None means: the marker, then numbered tokens."""

    total: int
    finish_reason: str
    first: bytes
    pieces: tuple[bytes, ...] | None = None

    def piece(self, index: int) -> bytes:
        """Token number `index` (from 0) as a JSON string."""
        if self.pieces is not None:
            return self.pieces[index]
        if index == 0:
            return self.first
        return NUMBERED[index] if index < len(NUMBERED) else b'" w%d"' % index

    @property
    def text(self) -> str:
        return "".join(orjson.loads(self.piece(index)) for index in range(self.total))


class Dialect(Protocol):
    """One API's lines. A line ends with its own separator; `created` is bytes in the API's notation."""

    stream_type: str

    def stamp(self, epoch_seconds: float) -> bytes: ...
    def token(self, piece: bytes, created: bytes) -> bytes: ...
    def last(self, answer: Answer, created: bytes, timing: Timing) -> bytes: ...
    def whole(self, answer: Answer, created: bytes, timing: Timing) -> bytes: ...
    def error_line(self, text: str) -> bytes: ...
    def garbage_line(self) -> bytes: ...


class OllamaDialect:
    """`POST /api/chat`: newline-delimited JSON."""

    stream_type = "application/x-ndjson"

    def __init__(self, call: ChatCall) -> None:
        self._head = b'{"model":%b,"created_at":"' % orjson.dumps(call.model)

    def stamp(self, epoch_seconds: float) -> bytes:
        return nanosecond_stamp(epoch_seconds)

    def token(self, piece: bytes, created: bytes) -> bytes:
        return b'%b%b","message":{"role":"assistant","content":%b},"done":false}\n' % (
            self._head,
            created,
            piece,
        )

    def last(self, answer: Answer, created: bytes, timing: Timing) -> bytes:
        return self._final(b'""', answer, created, timing) + b"\n"

    def whole(self, answer: Answer, created: bytes, timing: Timing) -> bytes:
        return self._final(orjson.dumps(answer.text), answer, created, timing)

    def error_line(self, text: str) -> bytes:
        return orjson.dumps({"error": text}) + b"\n"

    def garbage_line(self) -> bytes:
        return GARBAGE + b"\n"

    def _final(self, content: bytes, answer: Answer, created: bytes, timing: Timing) -> bytes:
        counts = {
            "done": True,
            "done_reason": answer.finish_reason,
            "total_duration": timing.total_ns,
            "load_duration": 1_334_875,
            "prompt_eval_count": timing.prompt_tokens,
            "prompt_eval_duration": timing.first_token_ns,
            "eval_count": timing.tokens,
            "eval_duration": max(0, timing.total_ns - timing.first_token_ns),
        }
        message = b'%b%b","message":{"role":"assistant","content":%b},' % (self._head, created, content)
        return message + orjson.dumps(counts)[1:]


class OpenAIDialect:
    """`POST /v1/chat/completions`: server-sent events, `[DONE]` last."""

    stream_type = "text/event-stream"

    def __init__(self, call: ChatCall) -> None:
        self._id = f"chatcmpl-{random.randrange(1_000)}"
        self._model = call.model
        self._usage = call.include_usage
        self._head = b'data: {"id":"%b","object":"chat.completion.chunk","created":' % self._id.encode()
        self._middle = b',"model":%b,"system_fingerprint":"fp_ollama","choices":[' % orjson.dumps(call.model)

    def stamp(self, epoch_seconds: float) -> bytes:
        return b"%d" % epoch_seconds

    def token(self, piece: bytes, created: bytes) -> bytes:
        return (b'%b%b%b{"index":0,"delta":{"role":"assistant","content":%b},"finish_reason":null}]}\n\n') % (
            self._head,
            created,
            self._middle,
            piece,
        )

    def last(self, answer: Answer, created: bytes, timing: Timing) -> bytes:
        delta = b'{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":"%b"}]}\n\n'
        lines = self._head + created + self._middle + delta % answer.finish_reason.encode()
        if self._usage:
            usage = orjson.dumps(usage_of(timing))
            lines += self._head + created + self._middle + b'],"usage":' + usage + b"}\n\n"
        return lines + b"data: [DONE]\n\n"

    def whole(self, answer: Answer, created: bytes, timing: Timing) -> bytes:
        message = {"role": "assistant", "content": answer.text}
        document = {
            "id": self._id,
            "object": "chat.completion",
            "created": int(created),
            "model": self._model,
            "system_fingerprint": "fp_ollama",
            "choices": [{"index": 0, "message": message, "finish_reason": answer.finish_reason}],
            "usage": usage_of(timing),
        }
        return orjson.dumps(document)

    def error_line(self, text: str) -> bytes:
        return b"data: " + openai_error(500, text) + b"\n\n"

    def garbage_line(self) -> bytes:
        return b"data: " + GARBAGE + b"\n\n"


def text_of(message: Mapping[str, Any]) -> str:
    """A message's text; OpenAI's list form is joined."""
    content = message.get("content")
    if isinstance(content, list):
        return "".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return str(content or "")


def parse_body(body: bytes) -> dict[str, Any]:
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise BadRequest(str(error)) from error
    if not isinstance(document, dict):
        raise BadRequest("json: cannot unmarshal the body into an object")
    return document


def parse_call(path: str, body: bytes) -> ChatCall:
    document = parse_body(body)
    model, messages = document.get("model"), document.get("messages", [])
    if not isinstance(model, str) or not model:
        raise BadRequest("model is required")
    if not isinstance(messages, list) or not all(isinstance(item, dict) for item in messages):
        raise BadRequest("messages must be a list of objects")
    if path.startswith("/v1/"):
        cap = document.get("max_completion_tokens", document.get("max_tokens"))
        stream = bool(document.get("stream", False))
    else:
        cap = (document.get("options") or {}).get("num_predict")
        stream = bool(document.get("stream", True))
    usage = bool((document.get("stream_options") or {}).get("include_usage", False))
    limit = int(cap) if cap is not None and int(cap) >= 0 else None
    return ChatCall(model, tuple(messages), stream, limit, usage, document)


def dialect_for(path: str, call: ChatCall) -> Dialect:
    return OpenAIDialect(call) if path.startswith("/v1/") else OllamaDialect(call)


def compose_answer(call: ChatCall, behaviour: Behaviour, script: Script, marker: str) -> Answer:
    """What this call shall be answered, cut at its cap."""
    text = behaviour.text
    if behaviour.kind is Kind.OBEY and text is None:
        text = " ".join(found.strip() for found in INSTRUCTION.findall(call.prompt_text)) or None
    pieces = None if text is None else tuple(orjson.dumps(word) for word in WORDS.findall(text))
    wanted = len(pieces) if pieces is not None else behaviour.tokens or script.tokens
    total = wanted if call.cap is None else min(wanted, call.cap)
    reason = "length" if total < wanted else "stop"
    return Answer(total, reason, orjson.dumps(marker or NO_MARKER_TOKEN), pieces)


def split_utf8(line: bytes) -> tuple[bytes, bytes]:
    """Cuts a line that holds `MULTIBYTE_TOKEN` inside its last four-byte character."""
    at = line.rindex("\U0001f31f".encode()) + 2
    return line[:at], line[at:]


def nanosecond_stamp(epoch_seconds: float) -> bytes:
    """RFC 3339 with nine decimals, as Go prints it."""
    return datetime.fromtimestamp(epoch_seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f000Z").encode()


def usage_of(timing: Timing) -> dict[str, int]:
    total = timing.prompt_tokens + timing.tokens
    return {"prompt_tokens": timing.prompt_tokens, "completion_tokens": timing.tokens, "total_tokens": total}


def openai_error(status: int, text: str) -> bytes:
    kind = ERROR_TYPES.get(status, "api_error")
    return orjson.dumps({"error": {"message": text, "type": kind, "param": None, "code": None}})


def error_body(path: str, status: int, text: str) -> bytes:
    return openai_error(status, text) if path.startswith("/v1/") else orjson.dumps({"error": text})


def missing_model_text(model: str) -> str:
    return f"model '{model}' not found"


def model_card(name: str) -> dict[str, Any]:
    """One entry of `/api/tags` and `/api/ps`."""
    full = with_tag(name)
    details = model_details()
    digest = hashlib.sha256(full.encode()).hexdigest()
    stamp = "2026-01-05T08:00:00.000000000Z"
    return {
        "name": full,
        "model": full,
        "modified_at": stamp,
        "size": 4_920_753_328,
        "digest": digest,
        "details": details,
    }


def model_details() -> dict[str, Any]:
    return {
        "parent_model": "",
        "format": "gguf",
        "family": "llama",
        "families": ["llama"],
        "parameter_size": "8.0B",
        "quantization_level": "Q4_K_M",
    }


def show_body(dimension: int) -> dict[str, Any]:
    return {
        "license": "",
        "modelfile": "# made by the fake model server\n",
        "parameters": "",
        "template": "{{ .Prompt }}",
        "details": model_details(),
        "model_info": {
            "general.architecture": "llama",
            "general.parameter_count": 8_030_261_312,
            "llama.context_length": 131_072,
            "llama.embedding_length": dimension,
        },
        "capabilities": ["completion", "tools"],
        "modified_at": "2026-01-05T08:00:00.000000000Z",
    }


def embed_texts(document: Mapping[str, Any]) -> Sequence[str]:
    given = document.get("input", "")
    return [str(item) for item in given] if isinstance(given, list) else [str(given)]


def embedding_of(text: str, dimension: int) -> list[float]:
    """A unit vector that depends on the text alone: equal texts meet, others are almost orthogonal."""
    source = random.Random(text)
    vector = [source.gauss(0.0, 1.0) for _ in range(dimension)]
    length = sum(value * value for value in vector) ** 0.5
    return [value / length for value in vector]
