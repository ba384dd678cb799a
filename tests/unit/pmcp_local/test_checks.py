"""`pmcp check` knows every method, and says what is wrong with an answer."""

from __future__ import annotations

from pmcp_common.contracts.methods import METHODS
from pmcp_local.check import Outcome, _form_of
from pmcp_local.checks import CHECKS, Visit


def test_no_method_is_without_a_check_and_no_check_without_a_method() -> None:
    assert {check.method for check in CHECKS} == set(METHODS)


def test_a_canned_line_is_no_answer() -> None:
    chat = next(check for check in CHECKS if check.method == "persona.chat")
    assert chat.judge(Visit("v"), {"response": "Hm.", "response_type": "fallback"}) is not None
    assert chat.judge(Visit("v"), {"response": "", "response_type": "direct"}) is not None
    assert chat.judge(Visit("v"), {"response": "Hello", "response_type": "direct", "degraded": False}) is None


def test_an_answer_out_of_contract_is_named_by_its_field() -> None:
    assert "memories" in str(_form_of("memory.search", {"query": "x", "result_count": 0}))


def test_a_newer_server_may_say_more() -> None:
    assert _form_of("memory.search", {"query": "x", "result_count": 0, "memories": [], "new": 1}) is None


def test_an_outcome_is_a_readable_line() -> None:
    assert Outcome("persona.chat", None, 12.4).line.split() == ["persona.chat", "ok", "12", "ms"]
    assert Outcome("persona.chat", "no answer", 9).line.endswith("ms  no answer")
