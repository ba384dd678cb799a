"""`pmcp check` on a whole deployment: green when all works, red when something does not, nothing left behind."""

from __future__ import annotations

import asyncio

import pmcp_client
from pmcp_common.contracts.methods import METHODS
from pmcp_common.testing.fake_model_script import Behaviour, Kind
from pmcp_common.testing.waiting import until
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


async def test_a_missing_model_is_named_with_the_command_that_fetches_it(
    stack: World, aria: pmcp_client.Client
) -> None:
    stack.script(quick(models=("other:1b",)))

    async def named() -> bool:
        reply = await aria.call("persona.chat", {"message": "Are you there?"})
        assert (reply["response_type"], reply["degraded"]) == ("fallback", True)
        assert reply["reason"]
        models = await aria.call("system.models")
        return not models["llm_available"] and "ollama pull llama3.1:8b" in models["reason"]

    await until(named, timeout_seconds=15.0)  # a worker that answered nothing meanwhile looks every ten
    assert (await aria.call("system.status"))["system_status"] == "degraded"
    reply = await aria.call("persona.chat", {"message": "Still there?"})
    assert "llama3.1:8b" in reply["reason"]
    assert "ollama pull llama3.1:8b" in reply["reason"]
    stack.script(quick())

    async def back() -> bool:
        return bool((await aria.call("system.models"))["llm_available"])

    await until(back, timeout_seconds=15.0)  # a model that was missing is left alone for a while
