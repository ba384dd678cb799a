"""A player saves and loads over the public protocol: all that the world holds, in any session, on any gateway, after
restarts."""

from __future__ import annotations

import os
import signal
from typing import Any

import pytest

import pmcp_client
from pmcp_client import CallFailed
from pmcp_common.testing.fake_model_script import Behaviour
from pmcp_common.testing.waiting import until
from tests.journey.conftest import World, new_player, quick

BACK_SECONDS = 60.0  # a restart waits up to 8 s


async def save(client: pmcp_client.Client, label: str = "") -> str:
    result = await client.call("state.save", {"label": label})
    assert result["state_saved"] is True
    save_id: str = result["save_id"]
    return save_id


async def load(client: pmcp_client.Client, save_id: str | None) -> dict[str, Any]:
    result = await client.call("state.load", {} if save_id is None else {"save_id": save_id})
    assert result["state_loaded"] is True
    return result


async def say(client: pmcp_client.Client, message: str) -> None:
    await client.call("persona.chat", {"message": message})


async def heard(client: pmcp_client.Client, persona: str = "aria") -> list[str]:
    history = await client.call("conversation.get_history", {"persona_id": persona})
    return [one["content"] for one in history["messages"]]


async def recalled(client: pmcp_client.Client, persona: str = "aria") -> set[str]:
    params = {"persona_id": persona, "query": "What do I own?", "n_results": 50}
    return {one["content"] for one in (await client.call("memory.search", params))["memories"]}


async def count_with(client: pmcp_client.Client) -> int:
    """How often the player and Aria have met, as she has it; 0: never."""
    listed = await client.call("relationship.list", {"persona_id": "aria"})
    bond = listed["player_relationship"]
    return 0 if bond is None else int(bond["interaction_count"])


async def test_a_world_is_saved_with_everything_and_comes_back_with_everything(
    stack: World, aria: pmcp_client.Client
) -> None:
    await say(aria, "I own a red horse named Rowan")
    result = await aria.call("state.save", {"label": "one horse"})
    early, state = result["save_id"], result["state"]
    assert state["current_persona_id"] == (await aria.call("session.get_info"))["active_persona_id"]
    assert state["current_conversation_id"].startswith("conv_")
    assert state["active_conversations"] == 1
    assert state["timestamp"].endswith("Z")
    before = await aria.call("persona.status")

    await say(aria, "I own a blue boat named Wren, thank you, you are wonderful")
    await aria.call("persona.switch", {"persona_id": "kira"})
    await say(aria, "I own a lantern")
    late = await save(aria)

    result = await load(aria, early)
    assert (result["current_persona_id"], result["current_conversation_id"]) == (
        state["current_persona_id"],
        state["current_conversation_id"],
    )
    assert (result["label"], result["save_id"]) == ("one horse", early)
    assert result["changes"]["turns_hidden"] == 4
    assert await heard(aria) == ["I own a red horse named Rowan"]
    assert await heard(aria, "kira") == []
    assert "I own a blue boat named Wren, thank you, you are wonderful" not in await recalled(aria)
    assert await count_with(aria) == 1
    after = await aria.call("persona.status")
    for name in ("interaction_fatigue", "social_energy", "available_time"):
        assert after["interaction_state"][name] == pytest.approx(before["interaction_state"][name], abs=1)

    await load(aria, late)
    assert len(await heard(aria)) == 2
    assert await heard(aria, "kira") == ["I own a lantern"]
    assert {"I own a lantern"} <= await recalled(aria, "kira")
    assert await count_with(aria) == 2


async def test_the_next_reply_knows_only_the_loaded_world(stack: World, aria: pmcp_client.Client) -> None:
    await say(aria, "I own a red horse named Rowan")
    early = await save(aria)
    await say(aria, "I own a blue boat named Wren")
    await load(aria, early)
    await say(aria, "What do I own?")
    prompt = stack.prompts()[-1]
    assert "Rowan" in prompt
    assert "Wren" not in prompt


async def test_another_session_on_another_gateway_loads_the_newest_save(stack: World, aria: pmcp_client.Client) -> None:
    await say(aria, "I own a red horse")
    await save(aria, "first")
    second = await save(aria, "second")
    await say(aria, "I own a blue boat")
    async with pmcp_client.connect(stack.gateways[1], player_id=aria.player_id) as elsewhere:
        result = await load(elsewhere, None)
        assert result["save_id"] == second
        info = await elsewhere.call("session.get_info")
        assert info["active_persona_name"] == "Aria"
        assert await heard(elsewhere) == ["I own a red horse"]
        listed = (await elsewhere.call("state.list"))["saves"]
        assert [(one["label"], one["automatic"]) for one in listed] == [("", True), ("second", False), ("first", False)]
        newest = await elsewhere.call("state.list", {"limit": 1})
        assert (newest["count"], newest["saves"][0]["save_id"]) == (1, result["left_save_id"])
        # What was left is not lost.
        await load(elsewhere, result["left_save_id"])
        assert await heard(elsewhere) == ["I own a red horse", "I own a blue boat"]


async def test_a_save_of_another_player_or_of_nobody_is_refused_in_the_same_words(
    stack: World, aria: pmcp_client.Client
) -> None:
    theirs = await save(aria)
    async with pmcp_client.connect(stack.gateways[0], player_id=new_player()) as other:
        refusals = []
        for save_id in (theirs, "unheard-of"):
            with pytest.raises(CallFailed) as refused:
                await load(other, save_id)
            refusals.append((refused.value.code, refused.value.message))
        with pytest.raises(CallFailed, match="Nothing was saved yet"):
            await load(other, None)
    assert refusals == [(-32011, "Save not found")] * 2


async def test_no_world_is_loaded_while_a_reply_is_on_its_way(stack: World, aria: pmcp_client.Client) -> None:
    early = await save(aria)
    stack.script(quick(default=Behaviour(text="So it goes on. " * 400), gap_ms=20, tokens=1000))
    stream = await aria.stream("persona.chat_stream", {"message": "Tell me a long story"})
    await anext(aiter(stream))
    with pytest.raises(CallFailed) as refused:
        await load(aria, early)
    assert (refused.value.code, refused.value.data["retry_after"]) == (-32012, 2.0)
    await stream.cancel()
    await stream.text()
    await load(aria, early)


async def test_everything_is_there_after_all_services_have_died(stack: World, aria: pmcp_client.Client) -> None:
    await say(aria, "I own a red horse")
    early = await save(aria)
    await say(aria, "I own a blue boat")
    services = {
        name: pid for name, pid in stack.stack.pids.items() if not name.startswith(("postgres", "valkey", "model"))
    }
    assert len(services) >= 6
    for pid in services.values():
        os.kill(pid, signal.SIGKILL)

    def are_back() -> bool:
        now = stack.stack.pids
        return all(name in now and now[name] != pid for name, pid in services.items())

    async def answers() -> bool:
        try:
            for url in stack.gateways:
                async with pmcp_client.connect(url, player_id=aria.player_id, reconnect=None) as later:
                    await later.call("persona.chat", {"persona_id": "aria", "message": "Are you there?"})
                    await later.call("state.list")
        except (OSError, pmcp_client.ClientError):
            return False
        return True

    await until(are_back, BACK_SECONDS)
    await until(answers, BACK_SECONDS)
    async with pmcp_client.connect(stack.gateways[0], player_id=aria.player_id) as later:
        await load(later, early)
        assert await heard(later) == ["I own a red horse"]
