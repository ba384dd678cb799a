"""`ModelClient` for Ollama's own API: newline-delimited JSON from `/api/chat`.

`think` is off and a thinking field is dropped: what a model thinks is not what its persona says.
"""

from __future__ import annotations

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
    ModelBroken,
    ModelError,
    ModelMissing,
    ModelReport,
    Patience,
    Prompt,
    TextSink,
    Usage,
)

JSON_HEADERS = {"Content-Type": "application/json"}


class OllamaClient:
    provider = "ollama"

    def __init__(self, session: aiohttp.ClientSession, url: str, model: str, clock: Clock) -> None:
        self.model = model
        self._session = session
        self._url = url.rstrip("/")
        self._clock = clock

    async def generate(self, prompt: Prompt, generation: Generation, patience: Patience, sink: TextSink) -> Usage:
        reading = _Reading(sink, self.model)
        await read_stream(
            self._session,
            f"{self._url}/api/chat",
            self._request(prompt, generation),
            JSON_HEADERS,
            patience,
            reading,
            self._refusal,
        )
        return reading.usage()

    def _request(self, prompt: Prompt, generation: Generation) -> dict[str, Any]:
        return {
            "model": self.model,
            "messages": with_said(prompt),  # an assistant's message at the end is continued
            "stream": True,
            "think": False,
            "options": {
                "num_predict": generation.max_tokens,
                "num_ctx": generation.num_ctx,
                "temperature": generation.temperature,
                "top_p": generation.top_p,
                "repeat_penalty": generation.repeat_penalty,
            },
        }

    def _refusal(self, status: int, _body: bytes) -> ModelError:
        return self._missing() if status == 404 else refusal_by_status(status)

    def _missing(self) -> ModelMissing:
        return ModelMissing(self.model, f"fetch it with `ollama pull {self.model}`")

    async def verify(self) -> ModelReport:
        names: tuple[str, ...] = ()
        try:
            _, tags = await fetch_document(self._session, "GET", f"{self._url}/api/tags", {})
            names = _model_names(tags)
            status, _ = await fetch_document(
                self._session, "POST", f"{self._url}/api/show", JSON_HEADERS, {"model": self.model}
            )
            if status != 200:
                raise self._refusal(status, b"")
        except ModelError as error:
            return self._report(names, error.message)
        return self._report(names, "")

    def _report(self, names: tuple[str, ...], reason: str) -> ModelReport:
        return ModelReport(self.provider, self.model, names, self._clock.now(), not reason, reason)


def _model_names(tags: Any) -> tuple[str, ...]:
    models = tags.get("models") if isinstance(tags, dict) else None
    return tuple(str(entry.get("name", "")) for entry in models or () if isinstance(entry, dict))


class _Reading:
    """One answer being read."""

    def __init__(self, sink: TextSink, model: str) -> None:
        self._sink = sink
        self._model = model
        self._last: dict[str, Any] | None = None

    def reader(self, deadline: Deadline) -> LineReader:
        sink, heard = self._sink, deadline.heard

        def read(line: bytes) -> bool:
            document = parse_document(line)
            try:
                text, done = document["message"]["content"], document["done"]
            except (TypeError, KeyError):
                return self._read_odd(line)
            if text:
                heard()
                sink(text)
            if done:
                self._last = document
                return True
            return False

        return read

    def _read_odd(self, line: bytes) -> bool:
        """Not the common form: an empty line, an error, a line without content, garbage."""
        if not line.strip():
            return False
        document = parse_line(line)
        if "error" in document:
            raise ModelBroken("error from the model server")
        if document.get("done") is True:
            self._last = document
            return True
        if "message" in document:  # only thinking
            return False
        raise ModelBroken("garbage")

    def is_whole(self) -> bool:
        return self._last is not None

    def usage(self) -> Usage:
        last = self._last or {}
        return Usage(
            finish_reason=str(last.get("done_reason") or "stop"),
            model=str(last.get("model") or self._model),
            prompt_tokens=last.get("prompt_eval_count"),
            output_tokens=last.get("eval_count"),
        )
