"""What existing clients send is accepted and what they read is there, method by method and field by field."""

from __future__ import annotations

import pytest

from pmcp_common.contracts.methods import METHODS
from tests.unit.pmcp_common.original_methods import METHODS as ORIGINAL
from tests.unit.pmcp_common.original_methods import NESTED


def test_every_method_is_there() -> None:
    assert ORIGINAL.keys() - METHODS.keys() == set()


@pytest.mark.parametrize("name", sorted(ORIGINAL.keys() & METHODS.keys()))
def test_every_parameter_is_understood_and_every_field_is_there(name: str) -> None:
    params, fields = (names.split() for names in ORIGINAL[name])
    method = METHODS[name]
    assert set(params) <= set(method.params.model_fields)
    assert method.result is None or set(fields) <= set(method.result.model_fields)


@pytest.mark.parametrize("place", sorted(NESTED))
def test_every_field_inside_a_field_is_there(place: str) -> None:
    name, _, field = place.partition("/")
    result = METHODS[name].result
    assert result is not None
    schema = result.model_json_schema(mode="serialization")
    described = str(schema["properties"][field])
    candidates = [one for key, one in schema["$defs"].items() if f"#/$defs/{key}'" in described]
    assert any(set(NESTED[place].split()) <= set(one["properties"]) for one in candidates)
