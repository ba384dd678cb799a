"""The OpenRPC and AsyncAPI documents say what the table says, and refer to nothing that is not in them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from pmcp_common.contracts.interface import asyncapi, openrpc
from pmcp_common.contracts.methods import METHODS
from pmcp_common.interface_files import DOCUMENTS, render
from tests.house.sources import ROOT


@pytest.mark.parametrize("name", DOCUMENTS)
def test_the_file_is_up_to_date(name: str) -> None:
    assert (ROOT / "docs" / f"{name}.json").read_text() == render(name)


def test_every_method_is_described_with_its_parameters() -> None:
    methods = {method["name"]: method for method in openrpc()["methods"]}
    assert methods.keys() == METHODS.keys()
    for name, method in METHODS.items():
        described = {param["name"]: param["required"] for param in methods[name]["params"]}
        assert described == {field: info.is_required() for field, info in method.params.model_fields.items()}, name


def test_every_method_is_an_operation_with_a_reply() -> None:
    document = asyncapi()
    assert document["operations"].keys() == METHODS.keys()
    assert len(document["channels"]["mcp"]["messages"]) == 2 * len(METHODS)


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, inside in value.items():
            if key == "$ref":
                yield inside
            yield from references(inside)
    elif isinstance(value, list):
        for inside in value:
            yield from references(inside)


@pytest.mark.parametrize("document", [openrpc(), asyncapi()], ids=["openrpc", "asyncapi"])
def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    for reference in set(references(document)):
        place: Any = document
        for step in reference.removeprefix("#/").split("/"):
            place = place[step]
