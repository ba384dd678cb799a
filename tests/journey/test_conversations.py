"""Conversations over the public protocol: rooms, history, sights, summaries, and two personas that talk."""

from __future__ import annotations

from typing import Any

import pytest

import pmcp_client
from pmcp_common.testing.fake_model_script import Behaviour, Kind
from pmcp_common.testing.waiting import until
from tests.journey.conftest import World, new_player, quick


async def test_a_bots_message_is_answered_with_the_fields_of_the_documents(
    stack: World, aria: pmcp_client.Client
) -> None:
    sender = f"@ann-{new_player()}:example.org"
    params = {
        "content": "Sing of the sea",
        "sender": sender,
        "room_id": "!tavern:example.org",
        "context": {"hour": "dusk"},
    }
    result = await aria.call("conversation.send_message", params | {"player_id": sender})
    assert result["response"]
    assert (result["memory_stored"], result["response_type"]) == (True, "direct")
    assert result["response_time_ms"] > 0
    assert "!tavern:example.org" in stack.prompts()[-1]
    assert "hour: dusk" in stack.prompts()[-1]


async def test_a_game_names_the_persona_with_each_message(stack: World) -> None:
    async with pmcp_client.connect(stack.gateways[0]) as game:
        result = await game.call("conversation.send_message", {"content": "Hail", "persona_id": "KIRA"})
        assert result["persona_name"] == "Kira"
        assert (await game.call("session.get_info"))["active_persona_id"] is None


async def test_a_canned_line_is_not_said_to_be_stored(stack: World, aria: pmcp_client.Client) -> None:
    stack.script(quick(default=Behaviour(Kind.MISSING_404)))
    result = await aria.call("conversation.send_message", {"content": "Are you there?"})
    assert (result["response_type"], result["memory_stored"]) == ("fallback", False)


async def test_history_comes_in_pages_and_survives_the_session(stack: World, aria: pmcp_client.Client) -> None:
    for number in range(5):
        await aria.call("persona.chat", {"message": f"message {number}"})
    async with pmcp_client.connect(stack.gateways[0], player_id=aria.player_id) as later:
        newest = await later.call("conversation.get_history", {"persona_id": "Aria", "limit": 2})
        assert [one["content"] for one in newest["messages"]] == ["message 3", "message 4"]
        assert newest["has_more"] is True
        assert all(one["persona_response"] for one in newest["messages"])
        before = newest["messages"][0]["id"]
        older = await later.call("conversation.get_history", {"persona_id": "aria", "limit": 20, "before_id": before})
        assert [one["content"] for one in older["messages"]] == ["message 0", "message 1", "message 2"]
        assert older["has_more"] is False


async def test_a_history_is_of_the_conversation_that_was_named(aria: pmcp_client.Client) -> None:
    await aria.call("persona.chat", {"message": "Hello"})
    own = await aria.call("conversation.get_history")
    again = await aria.call("conversation.get_history", {"conversation_id": own["conversation_id"]})
    assert again["messages"] == own["messages"]
    with pytest.raises(pmcp_client.CallFailed, match="Conversation not found: conv_of_nobody"):
        await aria.call("conversation.get_history", {"conversation_id": "conv_of_nobody"})


async def test_a_players_conversation_has_a_standing_and_an_end(aria: pmcp_client.Client) -> None:
    await aria.call("persona.chat", {"message": "Hello"})
    status = await aria.call("conversation.status")
    assert (status["turn_count"], status["topic"], status["ended"]) == (2, None, False)
    assert status["tokens_used"] > 0
    assert status["should_continue"] is True
    end = await aria.call("conversation.end", {"reason": "bedtime"})
    assert (end["ended"], end["reason"], end["final_stats"]["turns"]) == (True, "bedtime", 2)
    with pytest.raises(pmcp_client.CallFailed, match="No persona selected"):
        await aria.call("persona.chat", {"message": "Still there?"})


async def test_a_persona_that_has_had_enough_takes_its_leave_and_rests(stack: World, aria: pmcp_client.Client) -> None:
    bored = {"charisma": 1, "social_rank": "royalty", "topic_preferences": {"taxes": 0}}
    made = await aria.call("persona.create", {"name": f"Queen {new_player()}"} | bored)
    await aria.call("persona.switch", {"persona_id": made["persona_id"]})
    leave = await aria.call("persona.chat", {"message": "Let us talk about taxes.", "token_budget": 1})
    assert (leave["response_type"], leave["routing"], leave["degraded"]) == ("closing", "closing", False)
    assert leave["continue_score"] < 40

    async def rests() -> bool:
        state = (await aria.call("persona.status"))["interaction_state"]
        return not state["is_available"]

    await until(rests)
    with pytest.raises(pmcp_client.CallFailed, match="is not available for interaction") as asked:
        await aria.call("persona.chat", {"message": "One more thing?"})
    assert 250 < asked.value.data["cooldown_remaining"] <= 300
    with pytest.raises(pmcp_client.CallFailed, match="is not available for interaction") as refused:
        await aria.call("persona.switch", {"persona_id": made["persona_id"]})
    assert 250 < refused.value.data["cooldown_remaining"] <= 300
    async with pmcp_client.connect(stack.gateways[0], player_id=new_player()) as other:
        assert (await other.call("persona.switch", {"persona_id": made["persona_id"]}))["status"] == "active"


async def test_what_the_player_sees_is_in_the_next_prompts_until_it_is_gone(
    stack: World, aria: pmcp_client.Client
) -> None:
    seen = {"place": "a vaulted hall", "objects": ["lute", "mug"]}
    result = await aria.call("visual.update", {"type": "scene", "data": seen})
    assert (result["visual_updated"], result["update_type"], result["types"]) == (True, "scene", ["scene"])
    await aria.call("persona.chat", {"message": "What do I see?"})
    assert "a vaulted hall" in stack.prompts()[-1]
    assert (await aria.call("visual.update", {"type": "scene", "data": {}}))["types"] == []
    await aria.call("persona.chat", {"message": "And now?"})
    assert "What is to be seen" not in stack.prompts()[-1]


async def test_too_much_to_see_is_refused(aria: pmcp_client.Client) -> None:
    with pytest.raises(pmcp_client.CallFailed) as refused:
        await aria.call("visual.update", {"data": {"text": "x" * 9000}})
    assert refused.value.code == -32602
    for number in range(8):
        await aria.call("visual.update", {"type": f"kind{number}", "data": {"a": 1}})
    with pytest.raises(pmcp_client.CallFailed, match="at most 8 types"):
        await aria.call("visual.update", {"type": "kind9", "data": {"a": 1}})


async def test_a_cleared_session_begins_anew_and_may_forget_its_player(stack: World, aria: pmcp_client.Client) -> None:
    await aria.call("persona.chat", {"message": "I was born in Tarn."})
    await aria.call("visual.update", {"data": {"a": 1}})
    cleared = await aria.call("session.clear")
    assert (cleared["message"], cleared["forgotten"]) == ("Session cleared", None)
    info = await aria.call("session.get_info")
    assert (info["active_persona_id"], info["message_count"]) == (None, 0)
    assert (await aria.call("conversation.get_history", {"persona_id": "aria"}))["messages"]

    async def remembered() -> bool:
        return bool((await aria.call("memory.search", {"persona_id": "aria", "query": "Tarn"}))["memories"])

    await until(remembered)
    forgotten = (await aria.call("session.clear", {"forget": True}))["forgotten"]
    assert forgotten["turns"] == 2
    assert forgotten["memories"] >= 1
    assert (await aria.call("conversation.get_history", {"persona_id": "aria"}))["messages"] == []


async def test_a_long_conversation_is_summarised_off_the_reply_path(stack: World, aria: pmcp_client.Client) -> None:
    for number in range(26):
        await aria.call("persona.chat", {"message": f"Tale number {number}", "token_budget": 50})

    async def asked() -> bool:
        return any("You keep notes of a conversation" in prompt for prompt in stack.prompts())

    await until(asked)

    async def in_the_prompt() -> bool:
        await aria.call("persona.chat", {"message": "What came before?", "token_budget": 50})
        return "What happened before" in stack.prompts()[-1]

    await until(in_the_prompt, timeout_seconds=10.0)


# ---- two personas


async def two(client: pmcp_client.Client, **changes: Any) -> tuple[str, str]:
    """Fresh personas, so that no other test's talk has tired them."""
    names = []
    for role in ("bard", "scholar"):
        made = await client.call(
            "persona.create",
            {"name": f"{role} {new_player()}", "charisma": 15, "topic_preferences": {"magic": 90}, **changes},
        )
        names.append(made["persona_id"])
    return names[0], names[1]


async def test_two_personas_talk_in_turns_and_each_remembers_it(stack: World) -> None:
    async with pmcp_client.connect(stack.gateways[0]) as client:
        first, second = await two(client)
        started = await client.call(
            "conversation.start", {"persona1_id": first, "persona2_id": second, "topic": "magic", "token_budget": 1000}
        )
        assert (started["participants"], started["started"]) == ([first, second], True)
        turns = [await client.call("conversation.advance") for _ in range(3)]
        assert [turn["speaker_id"] for turn in turns] == [first, second, first]
        assert [turn["turn"] for turn in turns] == [1, 2, 3]
        assert turns[0]["content"] in stack.prompts()[-2]
        assert "about magic" in stack.prompts()[-1]
        assert turns[-1]["tokens_remaining"] == 1000 - sum(turn["tokens_used"] for turn in turns)
        status = await client.call("conversation.status", {"conversation_id": started["conversation_id"]})
        assert (status["turn_count"], status["topic"]) == (3, "magic")
        assert status["continue_score"] == turns[-1]["continue_score"] > 0
        history = await client.call("conversation.get_history", {"conversation_id": started["conversation_id"]})
        assert [one["persona_response"] for one in history["messages"]] == [turns[0]["content"], turns[2]["content"]]
        end = await client.call("conversation.end", {"reason": "enough"})
        assert end["final_stats"]["turns"] == 3
        assert set(end["cooldown_seconds"]) == {first, second}
        assert all(150 <= seconds <= 1200 for seconds in end["cooldown_seconds"].values())
        with pytest.raises(pmcp_client.CallFailed, match="not available for interaction"):
            await client.call("conversation.start", {"persona1_id": first, "persona2_id": second})


async def test_a_talk_ends_with_a_farewell_when_its_budget_is_used_up(stack: World) -> None:
    async with pmcp_client.connect(stack.gateways[0]) as client:
        first, second = await two(client)
        await client.call("conversation.start", {"persona1_id": first, "persona2_id": second, "token_budget": 60})
        turns = [await client.call("conversation.advance")]
        while not turns[-1]["ended"]:
            turns.append(await client.call("conversation.advance"))
        assert turns[0]["should_continue"] is False
        assert [turn["response_type"] for turn in turns] == ["direct", "closing"]
        assert sum(turn["tokens_used"] for turn in turns[:-1]) <= 60
        with pytest.raises(pmcp_client.CallFailed, match="has ended"):
            await client.call("conversation.advance")


async def test_a_turn_of_a_talk_is_made_in_time_or_canned(stack: World) -> None:
    stack.script(quick(default=Behaviour(Kind.HANG_BEFORE_HEADERS)))
    async with pmcp_client.connect(stack.gateways[0]) as client:
        first, second = await two(client)
        await client.call("conversation.start", {"persona1_id": first, "persona2_id": second})
        turn = await client.call("conversation.advance", {"deadline_ms": 1500})
        assert (turn["response_type"], turn["degraded"], turn["ended"]) == ("fallback", True, False)
        assert turn["processing_time"] < 2.0
        status = await client.call("conversation.status")
        assert (status["turn_count"], status["tokens_used"]) == (0, 0)


@pytest.mark.parametrize(
    ("params", "text"),
    [
        ({"persona1_id": "aria", "persona2_id": "nobody"}, "One or both personas not found"),
        ({"persona1_id": "aria", "persona2_id": "ARIA"}, "does not talk with itself"),
        ({"persona1_id": "aria"}, "persona2_id is required"),
    ],
)
async def test_a_talk_that_cannot_be_is_refused(stack: World, params: dict[str, str], text: str) -> None:
    async with pmcp_client.connect(stack.gateways[0]) as client:
        with pytest.raises(pmcp_client.CallFailed, match=text):
            await client.call("conversation.start", params)


async def test_an_unknown_talk_is_named(aria: pmcp_client.Client) -> None:
    for method in ("conversation.status", "conversation.end", "conversation.advance"):
        with pytest.raises(pmcp_client.CallFailed, match="Conversation not found: conv_nothing"):
            await aria.call(method, {"conversation_id": "conv_nothing"})


async def test_no_client_may_speak_as_a_persona(aria: pmcp_client.Client) -> None:
    with pytest.raises(pmcp_client.CallFailed, match="must not begin with persona:"):
        await aria.call("persona.chat", {"message": "Hi", "player_id": "persona:kira"})


async def test_what_a_client_stores_is_found_counted_and_forgotten_with_the_player(aria: pmcp_client.Client) -> None:
    assert (await aria.call("memory.get_stats"))["total_memories"] == 0
    assert await aria.call("memory.stats") == {"total_memories": 0}
    params = {"content": "The comet returns in the year of the fox.", "importance": 0.9, "related_personas": ["kira"]}
    stored = await aria.call("memory.store", params)
    assert stored["stored"] is True
    found = await aria.call("memory.search", {"query": "When does the comet return?"})
    assert [one["id"] for one in found["memories"]] == [stored["memory_id"]]
    old = await aria.call("persona.memory", {"query": "comet", "limit": 1})
    assert (old["total_found"], old["memories"][0]["importance"]) == (1, 0.9)
    assert (await aria.call("persona.memory"))["total_found"] == 1
    stats = await aria.call("memory.stats")
    assert (stats["total_memories"], stats["high_importance_count"]) == (1, 1)
    figures = await aria.call("memory.get_stats")
    assert figures["oldest_memory"] == figures["newest_memory"]
    assert figures["memory_types"] == {"user_input": 1}
    assert (await aria.call("session.clear", {"forget": True}))["forgotten"]["memories"] == 1
