from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pmcp_common.contracts.errors import InvalidParams
from pmcp_common.contracts.methods import METHODS, ChatParams
from pmcp_common.contracts.persona_choice_models import PersonaSwitchParams
from pmcp_common.contracts.stream_models import StreamReadParams
from pmcp_gateway.parameters import validate


def test_sender_is_the_player() -> None:
    params = validate(ChatParams, {"message": "Hi", "sender": "@ann:home", "room_id": "x"})
    assert isinstance(params, ChatParams)
    assert params.player_id == "@ann:home"


@pytest.mark.parametrize("value", [{}, {"persona_id": None}, {"persona_id": ""}])
def test_absent_null_and_empty_are_told_in_the_old_words(value: dict[str, Any]) -> None:
    with pytest.raises(InvalidParams, match=r"^persona_id is required$"):
        validate(PersonaSwitchParams, value)


def test_a_parameter_that_is_null_has_its_default() -> None:
    params = validate(ChatParams, {"message": "Hi", "token_budget": None, "on_interrupt": None})
    assert isinstance(params, ChatParams)
    assert (params.token_budget, params.on_interrupt) == (500, "continue")


@pytest.mark.parametrize("method", ["memory.store", "memory.edit"])
def test_a_blank_memory_is_none(method: str) -> None:
    with pytest.raises(InvalidParams, match=r"^content is required$"):
        validate(METHODS[method].params, {"memory_id": "m", "content": " \n\t"})


def test_other_faults_name_the_field_and_the_rule() -> None:
    with pytest.raises(InvalidParams, match=r"^after_seq: ") as failed:
        validate(StreamReadParams, {"stream_id": "s", "after_seq": 2**63})
    assert failed.value.data == {"field": "after_seq"}


@pytest.mark.parametrize("position", [0, -1])
def test_a_long_key_is_told_by_its_beginning(position: int) -> None:
    with pytest.raises(InvalidParams, match=r"^heads\.y{200}(\.\[key\])?: ") as failed:
        validate(METHODS["session.ping"].params, {"heads": {"y" * 100_000: position}})
    assert len(str(failed.value.data)) < 300


@pytest.mark.parametrize("value", [1.01, -2, "good", True, float("nan"), [0]])
def test_a_quality_that_is_none_is_told_in_the_old_words(value: object) -> None:
    with pytest.raises(InvalidParams, match=r"^interaction_quality must be a number between -1\.0 and 1\.0$"):
        validate(METHODS["relationship.update"].params, {"interaction_quality": value})


@given(st.sampled_from(sorted(METHODS)), st.text(alphabet="qzjx", min_size=12, max_size=40))
def test_a_wrong_value_is_never_repeated(method: str, secret: str) -> None:
    model = METHODS[method].params
    wrong = {name: {"inside": [secret]} for name in model.model_fields} | {"sender": [secret]}
    said = ""
    try:
        validate(model, wrong)
    except InvalidParams as error:
        said = f"{error.message} {error.data}"
    assert secret not in said
