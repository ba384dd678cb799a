"""Personas, relationships and moods through every process of the house, in the shapes existing clients read."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from typing import Any

import pytest

import pmcp_client
from pmcp_common.testing.waiting import until
from tests.journey.conftest import World, new_player

FEELINGS = {
    "affinity",
    "trust",
    "respect",
    "intimacy",
    "relationship_type",
    "interaction_count",
    "compatibility_score",
    "relationship_strength",
    "last_interaction",
}
OBJECT = FEELINGS | {
    "persona1_id",
    "persona2_id",
    "total_interaction_time",
    "first_meeting",
    "shared_experiences",
    "memorable_moments",
    "conflict_history",
    "history",
}
EMOTIONS = {"mood", "energy_level", "stress_level", "curiosity", "social_battery", "last_updated"}


def new_name() -> str:
    return f"Mira {uuid.uuid4().hex[:8]}"


@pytest.fixture
async def author(stack: World) -> AsyncIterator[pmcp_client.Client]:
    async with pmcp_client.connect(stack.gateways[0], player_id=new_player()) as client:
        yield client


async def make(client: pmcp_client.Client, **fields: Any) -> dict[str, Any]:
    return await client.call("persona.create", {"name": new_name()} | fields)


async def refused(client: pmcp_client.Client, method: str, params: dict[str, Any], code: int) -> str:
    with pytest.raises(pmcp_client.CallFailed) as failed:
        await client.call(method, params)
    assert failed.value.code == code
    return str(failed.value)


async def test_what_a_bot_sends_is_kept_returned_and_told_to_the_model(
    stack: World, author: pmcp_client.Client
) -> None:
    name = new_name()
    sent = {
        "name": name,
        "full_name": "Mira of the Lake",
        "description": "Mira is a ferrywoman.",
        "background": "Mira was born on a boat.",
        "backstory": "She never learned to swim.",
        "speaking_style": "Mira speaks slowly.",
        "interests": ["fish soup"],
        "goals": ["to buy a new boat"],
        "personality_traits": {"openness": 0.9, "temper": "slow"},
    }
    created = await author.call("persona.create", sent | {"occupation": "ferrywoman"})
    assert set(created) == {"persona_id", "name", "created", "version", "message"}
    assert (created["name"], created["created"]) == (name, True)
    persona = (await author.call("persona.get", {"persona_id": name.upper()}))["persona"]
    assert {key: persona[key] for key in sent} == sent
    assert persona["extras"] == {"occupation": "ferrywoman"}
    assert persona["memory_stats"] == {"total_memories": 0, "recent_interactions": 0}
    await author.call("persona.switch", {"persona_id": name})
    await author.call("persona.chat", {"message": "Good day"})
    told = stack.prompts()[-1]
    for words in (
        "Mira of the Lake",
        "fish soup",
        "to buy a new boat",
        "never learned to swim",
        "temper: slow",
        "occupation: ferrywoman",
    ):
        assert words in told


async def test_the_name_of_a_persona_is_taken_in_any_case(author: pmcp_client.Client) -> None:
    created = await make(author)
    text = await refused(author, "persona.create", {"name": created["name"].upper()}, -32012)
    assert "Failed to save persona" in text
    assert "name is required" in await refused(author, "persona.create", {}, -32602)


async def test_a_change_reaches_the_next_reply(stack: World, author: pmcp_client.Client) -> None:
    created = await make(author, description="She keeps bees.")
    await author.call("persona.switch", {"persona_id": created["persona_id"]})
    await author.call("persona.chat", {"message": "Hello"})
    changed = await author.call("persona.update", {"persona_id": created["name"], "description": "She keeps goats."})
    assert set(changed) == {"persona_id", "name", "updated", "version", "message"}
    assert changed["version"] == 2
    await author.call("persona.chat", {"message": "Hello again"})
    assert "She keeps goats." in stack.prompts()[-1]
    assert "She keeps bees." not in stack.prompts()[-1]
    renamed = await author.call("persona.update", {"persona_id": created["name"], "name": new_name()})
    assert (await author.call("session.get_info", {}))["active_persona_name"] == renamed["name"]
    assert (await author.call("persona.chat", {"message": "And now?"}))["persona_name"] == renamed["name"]


async def test_a_deleted_persona_answers_nobody_and_its_name_is_free(author: pmcp_client.Client) -> None:
    created = await make(author)
    await author.call("persona.switch", {"persona_id": created["name"]})
    deleted = await author.call("persona.delete", {"persona_id": created["name"].lower()})
    assert set(deleted) == {"persona_id", "name", "deleted", "message"}
    assert (deleted["persona_id"], deleted["deleted"]) == (created["persona_id"], True)
    for method, params in (
        ("persona.chat", {"message": "Are you there?"}),
        ("persona.chat", {"message": "Hello?", "persona_id": created["name"]}),
        ("persona.switch", {"persona_id": created["persona_id"]}),
        ("persona.get", {"persona_id": created["name"]}),
        ("persona.delete", {"persona_id": created["name"]}),
        ("emotional.get_state", {}),
    ):
        assert "Persona not found" in await refused(author, method, params, -32000), method
    assert "Current persona not found" in await refused(author, "persona.chat", {"message": "Hello?"}, -32000)
    again = await author.call("persona.create", {"name": created["name"]})
    assert again["persona_id"] != created["persona_id"]


async def test_kind_words_move_the_persona_and_it_can_be_read_why(author: pmcp_client.Client) -> None:
    created = await make(author)
    await author.call("persona.switch", {"persona_id": created["name"]})
    before = await author.call("emotional.get_state", {})
    assert set(before) == {"persona_id", "emotional_state", "history"}
    assert set(before["emotional_state"]) == EMOTIONS
    said = await author.call("persona.chat", {"message": "You are wonderful, thank you so much!"})

    async def moved() -> dict[str, Any] | None:
        found: dict[str, Any] | None = (await author.call("relationship.list", {}))["player_relationship"]
        return found

    found = await until(moved)
    assert found["affinity"] > 0
    assert found["interaction_count"] == 1
    after = await author.call("emotional.get_state", {})
    assert after["emotional_state"]["mood"] > before["emotional_state"]["mood"]
    assert after["history"][0]["cause_id"] == said["message_id"]
    whole = await author.call("relationship.get", {"persona_id": created["name"]})
    event = whole["player_relationship"]["history"][0]
    assert event["cause_id"] == said["message_id"]
    assert event["quality"] > 0
    assert event["changes"]["affinity"] == pytest.approx(found["affinity"])
    persona = (await author.call("persona.get", {"persona_id": created["name"]}))["persona"]
    assert persona["memory_stats"]["recent_interactions"] == 1


async def test_one_player_does_not_see_what_another_is_to_a_persona(stack: World, author: pmcp_client.Client) -> None:
    created = await make(author)
    said = await author.call("persona.chat", {"message": "You are kind", "persona_id": created["name"]})
    await until(lambda: _moods(author, created["name"]))
    async with pmcp_client.connect(stack.gateways[0], player_id=new_player()) as other:
        assert said["message_id"] not in str(await other.call("emotional.get_state", {"persona_id": created["name"]}))
        listed = await other.call("relationship.list", {"persona_id": created["name"]})
        assert listed["player_relationship"] is None


async def _moods(client: pmcp_client.Client, name: str) -> list[Any]:
    history: list[Any] = (await client.call("emotional.get_state", {"persona_id": name}))["history"]
    return history


async def test_relationships_of_personas_in_the_first_shape(author: pmcp_client.Client) -> None:
    one, other = await make(author), await make(author)
    pair = {"persona1_id": one["name"], "persona2_id": other["persona_id"]}
    assert await author.call("relationship.get", pair) == {
        "relationship": None,
        "exists": False,
        "message": f"{one['name']} and {other['name']} have not met",
    }
    update = pair | {"interaction_quality": 0.8, "duration_minutes": 30, "context": "collaboration"}
    updated = await author.call("relationship.update", update)
    assert set(updated) == {"success", "message", "interaction_processed", "updated_relationship"}
    assert updated["success"] is True
    assert updated["interaction_processed"] == {"quality": 0.8, "duration_minutes": 30, "context": "collaboration"}
    moved = updated["updated_relationship"]
    assert {"affinity", "trust", "respect", "relationship_type", "compatibility_score"} <= set(moved)
    assert moved["affinity"] == pytest.approx(0.04)
    found = await author.call("relationship.get", pair)
    assert set(found) == {"relationship", "exists"}
    assert set(found["relationship"]) == OBJECT
    assert found["relationship"]["total_interaction_time"] == 30
    assert found["relationship"]["history"][0]["context"] == "collaboration"
    assert len(found["relationship"]["memorable_moments"]) == len(found["relationship"]["shared_experiences"]) == 1
    listed = await author.call("relationship.list", {"persona_id": other["name"]})
    assert set(listed) == {"persona_id", "relationships", "total_relationships", "player_relationship"}
    assert listed["total_relationships"] == 1
    assert set(listed["relationships"][0]) == FEELINGS | {"other_persona_id", "other_persona_name"}
    assert listed["relationships"][0]["other_persona_id"] == one["persona_id"]


async def test_relationships_of_personas_in_the_second_shape(author: pmcp_client.Client) -> None:
    one, other = await make(author), await make(author)
    updated = await author.call(
        "relationship.update",
        {
            "persona_id": one["name"],
            "target_persona_id": other["name"],
            "relationship_type": "mentor",
            "strength": 0.7,
        },
    )
    assert set(updated) == {"success", "message", "updated_relationship"}
    listed = await author.call("relationship.get", {"persona_id": one["name"]})
    assert set(listed) == {"persona_id", "relationships", "player_relationship"}
    target = listed["relationships"][0]
    assert set(target) == {
        "target_persona_id",
        "target_persona_name",
        "relationship_type",
        "strength",
        "relationship_strength",
        "last_interaction",
    }
    assert (target["target_persona_name"], target["relationship_type"]) == (other["name"], "mentor")
    assert target["strength"] == pytest.approx(0.7)


async def test_a_relationship_is_set_by_either_pair_of_names_and_a_type_brings_its_feelings(
    author: pmcp_client.Client,
) -> None:
    one, other = await make(author), await make(author)
    pair = {"persona1_id": one["name"], "persona2_id": other["name"]}
    answer = await author.call("relationship.update", pair | {"strength": 0.8, "relationship_type": "enemy"})
    assert answer["updated_relationship"]["relationship_strength"] == pytest.approx(-0.8)
    assert "interaction_processed" not in answer
    told = {"persona_id": one["name"], "target_persona_id": other["name"], "relationship_type": "friend"}
    friends = (await author.call("relationship.update", told))["updated_relationship"]
    assert friends["relationship_type"] == "friend"
    assert 0.3 <= friends["relationship_strength"] < 0.6
    both = await refused(author, "relationship.update", pair | {"strength": 0.8, "interaction_quality": 1.0}, -32602)
    assert "interaction_quality does not go with relationship_type or strength" in both


async def test_enemies_do_not_come_out_compatible(author: pmcp_client.Client) -> None:
    five = ("openness", "conscientiousness", "extraversion", "agreeableness", "neuroticism")
    same = {"personality_traits": dict.fromkeys(five, 0.5), "topic_preferences": {"boats": 90}}
    one, other = await make(author, **same), await make(author, **same)
    pair = {"persona1_id": one["name"], "persona2_id": other["name"]}
    fitting = await author.call("relationship.compatibility", pair)
    assert set(fitting) == {
        "persona1",
        "persona2",
        "compatibility_analysis",
        "interaction_suggestions",
        "existing_relationship",
    }
    analysis = fitting["compatibility_analysis"]
    assert set(analysis) == {"overall", "personality", "social", "interests", "history", "prediction"}
    assert set(fitting["interaction_suggestions"]) == {
        "interaction_style",
        "recommended_topics",
        "potential_challenges",
        "relationship_potential",
        "interaction_frequency",
    }
    assert (analysis["prediction"], fitting["existing_relationship"]) == ("excellent", False)
    assert fitting["interaction_suggestions"]["recommended_topics"] == ["boats"]
    hostile = {"persona_id": one["name"], "target_persona_id": other["name"], "relationship_type": "enemy"}
    await author.call("relationship.update", hostile | {"strength": 0.9})
    analysis = (await author.call("relationship.compatibility", pair))["compatibility_analysis"]
    assert analysis["prediction"] == "difficult"
    found = await author.call("relationship.get", pair)
    assert found["relationship"]["compatibility_score"] == 0


async def test_figures_of_relationships(author: pmcp_client.Client) -> None:
    one, other = await make(author), await make(author)
    before = (await author.call("relationship.stats", {}))["relationship_statistics"]
    for _ in range(3):
        await author.call("relationship.update", {"persona1_id": one["name"], "persona2_id": other["name"]})
    answer = await author.call("relationship.stats", {})
    assert set(answer) == {"relationship_statistics", "timestamp"}
    after = answer["relationship_statistics"]
    assert set(after) == {
        "total_relationships",
        "relationship_types",
        "average_compatibility",
        "total_interactions",
        "most_active_personas",
        "with_players",
    }
    assert after["total_relationships"] == before["total_relationships"] + 1
    assert after["total_interactions"] == before["total_interactions"] + 3
    assert after["relationship_types"]["acquaintance"] >= 1
    assert {"persona_id", "interactions"} == set(after["most_active_personas"][0])


async def test_a_mood_is_set_clamped_and_of_the_active_persona(author: pmcp_client.Client) -> None:
    created = await make(author)
    await author.call("persona.switch", {"persona_id": created["name"]})
    updated = await author.call("emotional.update_state", {"mood": -7, "curiosity": 0.25})
    assert set(updated) == {"success", "message", "updated_state"}
    assert set(updated["updated_state"]) == EMOTIONS
    assert (updated["updated_state"]["mood"], updated["updated_state"]["curiosity"]) == (-1, 0.25)
    state = (await author.call("emotional.get_state", {"persona_id": created["name"].upper()}))["emotional_state"]
    assert state["mood"] == pytest.approx(-1, abs=0.01)


async def test_the_deprecated_method_answers_for_the_active_persona(author: pmcp_client.Client) -> None:
    one, other = await make(author), await make(author)
    await author.call("persona.switch", {"persona_id": one["name"]})
    missing = await author.call("persona.relationship", {"target_persona": other["name"]})
    assert missing == {
        "current_persona": one["persona_id"],
        "target_persona": other["persona_id"],
        "relationship": None,
    }
    await author.call("relationship.update", {"persona1_id": one["name"], "persona2_id": other["name"]})
    everything = await author.call("persona.relationship", {})
    assert set(everything) == {"current_persona", "relationships"}
    assert set(everything["relationships"][0]) == OBJECT


@pytest.mark.parametrize(
    ("method", "params", "code", "text"),
    [
        ("relationship.get", {}, -32602, "Both persona1_id and persona2_id are required"),
        ("relationship.get", {"persona1_id": "aria"}, -32602, "Both persona1_id and persona2_id are required"),
        ("relationship.compatibility", {}, -32602, "Both persona1_id and persona2_id are required"),
        ("relationship.update", {}, -32602, "Both persona1_id and persona2_id are required"),
        (
            "relationship.get",
            {"persona1_id": "aria", "persona2_id": "nobody"},
            -32000,
            "One or both personas not found",
        ),
        (
            "relationship.update",
            {"persona1_id": "aria", "persona2_id": "kira", "interaction_quality": 1.5},
            -32602,
            "interaction_quality must be a number between -1.0 and 1.0",
        ),
        (
            "relationship.update",
            {"persona1_id": "aria", "persona2_id": "kira", "interaction_quality": "good"},
            -32602,
            "interaction_quality must be a number between -1.0 and 1.0",
        ),
        ("relationship.update", {"persona_id": "aria"}, -32602, "target_persona_id is required"),
        (
            "relationship.update",
            {"persona_id": "aria", "target_persona_id": "kira"},
            -32602,
            "relationship_type or strength is required",
        ),
        ("relationship.list", {}, -32001, "No persona selected"),
        ("relationship.list", {"persona_id": "nobody"}, -32000, "Persona not found: nobody"),
        ("emotional.get_state", {}, -32001, "No persona selected"),
        ("emotional.update_state", {"persona_id": "aria"}, -32602, "is required"),
        ("persona.get", {}, -32602, "persona_id is required"),
        ("persona.get", {"persona_id": "nobody"}, -32000, "Persona not found: nobody"),
        ("persona.update", {}, -32602, "persona_id is required"),
        ("persona.delete", {}, -32602, "persona_id is required"),
        ("persona.create", {"name": "x", "charisma": 40}, -32602, "charisma"),
    ],
)
async def test_errors_have_the_words_existing_clients_look_for(
    author: pmcp_client.Client, method: str, params: dict[str, Any], code: int, text: str
) -> None:
    assert text in await refused(author, method, params, code)
