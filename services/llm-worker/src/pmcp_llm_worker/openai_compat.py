"""`ModelClient` for any OpenAI-compatible server (vLLM, llama.cpp, LM Studio …): server-sent events.

Reasoning fields are dropped: what a model thinks is not what its persona says.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import aiohttp

from pmcp_common.clock import Clock
from pmcp_llm_worker.deadline import Deadline
from pmcp_llm_worker.line_stream import (
    LineReader,
    fetch_document,
    parse_document,
    parse_line,
    read_stream,
    refusal_by_status,
    with_said,
)
from pmcp_llm_worker.model import (
    Generation,
    Message,
    ModelBroken,
    ModelError,
    ModelMissing,
    ModelReport,
    Patience,
    Prompt,
    TextSink,
    Usage,
)

DATA = b"data:"
DONE = b"[DONE]"
NO_PENALTY = 1.0
BAD_REQUEST = frozenset({400, 422})
CONTINUE = {"continue_final_message": True, "add_generation_prompt": False}
"""vLLM's words for it; llama.cpp does it anyway, and others ignore or refuse them."""
GO_ON = Message(
    "user",
    "You were interrupted. Go on exactly where your last message stops: repeat nothing of it, and do not mention this.",
)


class _Unwilling(ModelBroken):
    """The server does not take a conversation that ends with the assistant's words."""


class OpenAICompatClient:
    provider = "openai"

    def __init__(
        self, session: aiohttp.ClientSession, url: str, model: str, clock: Clock, api_key: str | None = None
    ) -> None:
        """`url`: with or without the trailing `/v1`."""
        self.model = model
        self._session = session
        self._url = url.rstrip("/").removesuffix("/v1")
        self._clock = clock
        self._headers = {"Content-Type": "application/json", "Accept": "text/event-stream"}
        if api_key:
            self._headers["Authorization"] = f"Bearer {api_key}"

    async def generate(self, prompt: Prompt, generation: Generation, patience: Patience, sink: TextSink) -> Usage:
        """A server that does not continue an open message refuses it at once, and is told in words to go on."""
        request = self._request(prompt, generation)
        if not prompt.said:
            return await self._read(request, patience, sink, self._refusal)
        try:
            return await self._read(request | CONTINUE, patience, sink, self._refusal_of_said)
        except _Unwilling:
            told = {"messages": (*request["messages"], GO_ON)}
            return await self._read(request | told, patience, sink, self._refusal)

    async def _read(
        self,
        request: dict[str, Any],
        patience: Patience,
        sink: TextSink,
        refused: Callable[[int, bytes], ModelError],
    ) -> Usage:
        reading = _Reading(sink, self.model)
        url = f"{self._url}/v1/chat/completions"
        await read_stream(self._session, url, request, self._headers, patience, reading, refused)
        return reading.usage()

    def _request(self, prompt: Prompt, generation: Generation) -> dict[str, Any]:
        """The window is the server's own setting in this dialect; `max_tokens` is the name all of them know."""
        return {
            "model": self.model,
            "messages": with_said(prompt),
            "stream": True,
            "stream_options": {"include_usage": True},
            "max_tokens": generation.max_tokens,
            "temperature": generation.temperature,
            "top_p": generation.top_p,
            # The standard field with the nearest effect; 0.1 over 1 in Ollama's scale is about 0.4 here.
            "frequency_penalty": round(min(2.0, max(0.0, (generation.repeat_penalty - NO_PENALTY) * 4)), 2),
        }

    def _refusal(self, status: int, body: bytes) -> ModelError:
        if status == 404 and not _is_unknown_path(body):
            return self._missing(())
        return refusal_by_status(status)

    def _refusal_of_said(self, status: int, body: bytes) -> ModelError:
        return _Unwilling("not continued") if status in BAD_REQUEST else self._refusal(status, body)

    def _missing(self, names: tuple[str, ...]) -> ModelMissing:
        known = f"it has {', '.join(names)}" if names else "start it with this model"
        return ModelMissing(self.model, f"{known}, or set PMCP_MODEL_NAME")

    async def verify(self) -> ModelReport:
        names: tuple[str, ...] = ()
        try:
            status, document = await fetch_document(self._session, "GET", f"{self._url}/v1/models", self._headers)
            if status != 200:
                raise refusal_by_status(status)
            names = _model_names(document)
            if not any(_same_name(self.model, name) for name in names):
                raise self._missing(names)
        except ModelError as error:
            return self._report(names, error.message)
        return self._report(names, "")

    def _report(self, names: tuple[str, ...], reason: str) -> ModelReport:
        return ModelReport(self.provider, self.model, names, self._clock.now(), not reason, reason)


def _same_name(asked: str, known: str) -> bool:
    """Ollama's `/v1` lists a name without a tag as `name:latest`."""
    return known in (asked, f"{asked}:latest")


def _is_unknown_path(body: bytes) -> bool:
    """A 404 that names no error is a wrong URL rather than a missing model."""
    document = parse_document(body)
    return not isinstance(document, dict) or "error" not in document


def _model_names(document: Any) -> tuple[str, ...]:
    entries = document.get("data") if isinstance(document, dict) else None
    return tuple(str(entry.get("id", "")) for entry in entries or () if isinstance(entry, dict))


class _Reading:
    """One answer being read. It is whole once a finish reason was seen; the usage comes after it, if at all."""

    def __init__(self, sink: TextSink, model: str) -> None:
        self._sink = sink
        self._model = model
        self._finish_reason = ""
        self._usage: dict[str, Any] = {}

    def reader(self, deadline: Deadline) -> LineReader:
        sink, heard = self._sink, deadline.heard

        def read(line: bytes) -> bool:
            if not line.startswith(DATA):
                return self._read_odd(line)
            payload = line[5:].strip()
            if payload == DONE:
                return True
            document = parse_document(payload)
            try:
                choice = document["choices"][0]
                text = choice["delta"].get("content")
            except (TypeError, KeyError, IndexError, AttributeError):
                return self._read_without_choice(payload)
            if text:
                heard()
                sink(text)
            if choice.get("finish_reason"):
                self._finish_reason = choice["finish_reason"]
                self._model = document.get("model") or self._model
            if document.get("usage"):
                self._usage = document["usage"]
            return False

        return read

    def _read_odd(self, line: bytes) -> bool:
        """Blank lines, comments and other fields of the format mean nothing here, but an error line does."""
        if line.startswith(b"error:") or line.startswith(b"{"):
            raise ModelBroken("error from the model server")
        return False

    def _read_without_choice(self, payload: bytes) -> bool:
        document = parse_line(payload)
        if "error" in document:
            raise ModelBroken("error from the model server")
        if "choices" not in document and "usage" not in document:
            raise ModelBroken("garbage")
        self._usage = document.get("usage") or self._usage
        return False

    def is_whole(self) -> bool:
        return bool(self._finish_reason)

    def usage(self) -> Usage:
        return Usage(
            finish_reason=self._finish_reason or "stop",
            model=str(self._model),
            prompt_tokens=self._usage.get("prompt_tokens"),
            output_tokens=self._usage.get("completion_tokens"),
        )
