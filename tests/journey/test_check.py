"""`pmcp check` on a whole deployment: green when all works, red when something does not, nothing left behind."""

from __future__ import annotations

import asyncio

import pmcp_client
from pmcp_common.contracts.methods import METHODS
from pmcp_common.testing.fake_model_script import Behaviour, Kind
from pmcp_local.check import check_deployment
from tests.journey.conftest import World, quick


async def check(stack: World) -> tuple[int, list[str]]:
    lines: list[str] = []
    return await asyncio.to_thread(check_deployment, stack.gateways[0], lines.append), lines


async def test_every_method_works_and_nothing_is_left_behind(stack: World) -> None:
    async with pmcp_client.connect(stack.gateways[0]) as client:
        before = await client.call("persona.list")
        code, lines = await check(stack)
        assert code == 0, "\n".join(lines)
        assert {line.split()[0] for line in lines[1:-1]} >= set(METHODS)
        after = await client.call("persona.list")
    assert [one["id"] for one in after["personas"]] == [one["id"] for one in before["personas"]]


async def test_without_a_model_the_report_says_what_is_wrong(stack: World) -> None:
    stack.script(quick(default=Behaviour(Kind.BUSY_503)))
    code, lines = await check(stack)
    assert code == 1
    chat = next(line for line in lines if line.split()[0] == "persona.chat")
    assert "FAILED" in chat
    assert "the model did not answer" in chat
