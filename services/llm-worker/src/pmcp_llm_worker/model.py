"""Port: a chat model behind an HTTP server, and the ways it can fail.

Adapters: `ollama`, `openai_compat`; both pass tests/unit/pmcp_llm_worker/test_model_contract.py. Above it: `chat_turn`
(through `model_retry`) and `model_watch`. Rule: an adapter makes exactly one attempt, and never returns a cut reply
as a whole one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from pmcp_common.contracts.errors import ModelFailed


@dataclass(frozen=True, slots=True)
class Message:
    role: str
    """system, user or assistant"""
    content: str


@dataclass(frozen=True, slots=True)
class Prompt:
    messages: tuple[Message, ...]
    said: str = ""
    """The beginning of the answer, shown already: the model is to go on right behind it. It may say some of it
    again all the same."""


@dataclass(frozen=True, slots=True)
class Generation:
    """How to sample. Both caps are always sent: a model server may go on after its client has left."""

    max_tokens: int
    num_ctx: int
    """Context window in tokens; always the same for one server, or it loads the model again."""
    temperature: float = 0.7
    top_p: float = 0.9
    repeat_penalty: float = 1.1
    """1.0: none. Small models fall into loops without it."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long one attempt may take, in seconds."""

    first_token: float = 20.0
    idle: float = 15.0
    """Between two pieces."""
    total: float = 240.0


@dataclass(frozen=True, slots=True)
class Usage:
    """What the server said at the end. Token counts are None when it did not count."""

    finish_reason: str
    """stop or length, or the server's own word"""
    model: str
    prompt_tokens: int | None = None
    output_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class ModelReport:
    """What a model server offers, as of `verified_at`. `ok`: the configured model can answer."""

    provider: str
    current_model: str
    available_models: tuple[str, ...]
    verified_at: datetime
    ok: bool
    reason: str = ""


class ModelError(ModelFailed):
    """One attempt failed. `reason` names the way, for metrics and the terminal event."""

    reason = "failed"

    def __init__(self, message: str) -> None:
        super().__init__(message, reason=self.reason)


class ModelAway(ModelError):
    """No connection, or it broke."""

    reason = "away"


class ModelBusy(ModelError):
    """The server refuses for now: its queue is full or a limit is reached."""

    reason = "busy"


class ModelMissing(ModelError):
    """The server has no model of this name; `hint` is what an operator can do about it."""

    reason = "missing"

    def __init__(self, name: str, hint: str) -> None:
        super().__init__(f"The model {name} is not available: {hint}")
        self.name = name
        self.hint = hint


class ModelUnwilling(ModelError):
    """The server is well and does not take this request: it is too long, say. The same again would be refused again."""

    reason = "unwilling"

    def __init__(self, status: int) -> None:
        super().__init__(f"The model server refused the request (HTTP {status})")


class ModelStalled(ModelError):
    """Nothing came in time. `phase`: first_token, idle or total."""

    reason = "stalled"

    def __init__(self, phase: str, seconds: float) -> None:
        super().__init__(f"The model was silent for too long ({phase}, {seconds:g} s)")
        self.phase = phase


class ModelBroken(ModelError):
    """The stream ended early or is not what its protocol promises. `detail`: truncated, garbage, empty …"""

    reason = "broken"

    def __init__(self, detail: str) -> None:
        super().__init__(f"The model's answer broke off ({detail})")
        self.detail = detail


TextSink = Callable[[str], None]
"""Takes the next piece of the reply; it must not wait. What it raises ends the stream."""


class ModelClient(Protocol):
    provider: str
    model: str

    async def generate(self, prompt: Prompt, generation: Generation, patience: Patience, sink: TextSink) -> Usage:
        """Stream one reply into `sink`, whole code points only. Cancelling the call closes the connection, and
        that stops the model.

        Pieces are handed over by calls and not by an iterator: the reader never waits for the writer, so that one
        deadline per stream suffices and no piece costs a task or a turn of the event loop.
        Raises a `ModelError`; what the sink got until then stands.
        """
        ...

    async def verify(self) -> ModelReport:
        """Ask the server what it has. A server that is away gives a report with `ok` False."""
        ...
