"""Logs are JSON, one object a line, and say which request they belong to."""

from __future__ import annotations

import logging

import orjson

from pmcp_common.logs import JsonFormatter, request_id


def record(level: int = logging.INFO, **extra: object) -> logging.LogRecord:
    made = logging.LogRecord("pmcp.test", level, __file__, 1, "job %s ended", ("j-1",), None)
    made.__dict__.update(extra)
    return made


def test_a_line_is_one_json_object_with_its_fields() -> None:
    line = JsonFormatter("gateway").format(record(outcome="done", ms=12.5))
    entry = orjson.loads(line)
    assert "\n" not in line
    assert (entry["service"], entry["level"], entry["event"]) == ("gateway", "INFO", "job j-1 ended")
    assert (entry["outcome"], entry["ms"]) == ("done", 12.5)
    assert entry["time"].endswith("+00:00")


def test_the_request_being_served_is_named() -> None:
    token = request_id.set("r-1")
    try:
        entry = orjson.loads(JsonFormatter("gateway").format(record()))
    finally:
        request_id.reset(token)
    assert entry["request_id"] == "r-1"
    assert "request_id" not in orjson.loads(JsonFormatter("gateway").format(record()))


def test_an_exception_keeps_its_traceback_on_the_same_line() -> None:
    try:
        raise ValueError("broken")
    except ValueError as error:
        entry = orjson.loads(JsonFormatter("x").format(record(exc_info=(ValueError, error, error.__traceback__))))
    assert "ValueError: broken" in entry["exception"]


def test_a_value_json_does_not_know_is_written_as_text() -> None:
    assert orjson.loads(JsonFormatter("x").format(record(path=PathLike())))["path"] == "a path"


class PathLike:
    def __str__(self) -> str:
        return "a path"
