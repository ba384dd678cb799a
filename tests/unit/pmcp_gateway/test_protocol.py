from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pmcp_common.contracts.errors import PersonaNotFound, Unavailable
from pmcp_gateway import protocol
from pmcp_gateway.protocol import ErrorReply, Notification, Request, parse

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
FRAMES = st.fixed_dictionaries(
    {}, optional={"jsonrpc": JSON | st.just("2.0"), "id": JSON, "method": JSON, "params": JSON, "extra": JSON}
)


@given(st.text(st.characters()) | st.text())
@example("\ud800")
@example("\ufeff{}")
@example("[" * 200_000)
@example('{"a":' * 200_000)
@example("-")
@example("1e999")
def test_any_text_is_one_of_three_things(text: str) -> None:
    parsed = parse(text)
    assert isinstance(parsed, Request | Notification | ErrorReply)


@given(FRAMES)
def test_any_object_is_one_of_three_things_and_can_be_answered(frame: dict[str, Any]) -> None:
    try:
        text = orjson.dumps(frame).decode()
    except (TypeError, orjson.JSONEncodeError):  # an integer over 64 bits
        return
    parsed = parse(text)
    if isinstance(parsed, Notification):
        assert "id" not in frame
        return
    answer = orjson.loads(protocol.success(parsed.id, {}))
    if isinstance(parsed, Request):
        assert answer["id"] == frame["id"]
        assert type(answer["id"]) is type(frame["id"])


@pytest.mark.parametrize("number", ["a", "", 0, -1, 2**53 + 1, 1.5, -0.5, 1.0, None])
def test_an_id_comes_back_with_its_exact_type(number: Any) -> None:
    parsed = parse(orjson.dumps({"id": number, "method": "m"}).decode())
    assert isinstance(parsed, Request)
    answer = orjson.loads(protocol.success(parsed.id, {"x": 1}))
    assert answer == {"jsonrpc": "2.0", "id": number, "result": {"x": 1}}
    assert type(answer["id"]) is type(number)


def test_absent_and_null_params_are_no_params() -> None:
    assert parse('{"id":1,"method":"m"}') == parse('{"id":1,"method":"m","params":null}') == Request(1, "m", {})


def test_without_an_id_it_is_a_notification() -> None:
    assert parse('{"jsonrpc":"2.0","method":"m","params":{"a":1}}') == Notification("m", {"a": 1})


def test_a_batch_is_refused_whole_with_one_answer() -> None:
    parsed = parse('[{"id":1,"method":"m"}]')
    assert isinstance(parsed, ErrorReply)
    assert (parsed.id, parsed.error.code) == (None, -32600)
    assert parsed.error.message == "Batches are not supported: send one request per frame"


def test_an_error_has_no_result_and_says_how_to_go_on() -> None:
    answer = orjson.loads(protocol.failure("a", Unavailable("Redis is away", retry_after=1.0), "persona.chat"))
    assert "result" not in answer
    assert answer["error"] == {
        "code": -32007,
        "message": "Redis is away",
        "data": {
            "method": "persona.chat",
            "retryable": True,
            "detail": "Internal error: Redis is away",
            "retry_after": 1.0,
        },
    }


def test_an_error_without_a_method_names_none() -> None:
    assert "method" not in protocol.error_object(PersonaNotFound("Zed"))["data"]
