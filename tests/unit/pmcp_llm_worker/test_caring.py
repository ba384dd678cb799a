"""What goes along with what is to be remembered: what the two care for, and how they stand to each other."""

from __future__ import annotations

from pmcp_common.contracts.errors import PersonaNotFound, Unavailable
from pmcp_common.contracts.memories import RememberRequest, Role, Standing
from pmcp_llm_worker.caring import standing_of
from tests.unit.pmcp_llm_worker.doubles import TENANT, Memory, Personas, aria, turn
from tests.unit.pmcp_llm_worker.test_jobs import memory, remember

__all__ = ["memory"]

REPLY = turn(2, Role.ASSISTANT, "I am Aria.")


def fond_of_music() -> Personas:
    personas = Personas()
    personas.persona = aria().model_copy(update={"topic_preferences": {"music": 90}})
    personas.strength = 0.4
    return personas


async def test_a_player_is_known_by_the_relationship_and_the_persona_by_its_topics_too() -> None:
    found = await standing_of(fond_of_music(), TENANT, REPLY)
    assert found == Standing(topic_preferences={"music": 90}, relationship_strength=0.4)


async def test_a_persona_in_the_players_place_has_topics_of_its_own() -> None:
    said = REPLY.model_copy(update={"player_id": "persona:p-kira"})
    found = await standing_of(fond_of_music(), TENANT, said)
    assert found is not None
    assert found.partner_topic_preferences == {"music": 90}


async def test_what_cannot_be_read_is_left_out() -> None:
    for failure in (Unavailable("persona"), PersonaNotFound("p-aria")):
        personas = fond_of_music()
        personas.failure = failure
        assert await standing_of(personas, TENANT, REPLY) is None


async def test_the_standing_goes_with_the_turns_that_are_to_be_remembered(memory: Memory) -> None:
    await remember(memory, fond_of_music())
    standing = Standing(topic_preferences={"music": 90}, relationship_strength=0.4)
    assert memory.remembered == [RememberRequest(message_ids=("user-job-1", "reply-job-1"), standing=standing)]


def test_a_request_without_it_is_as_good_as_ever() -> None:
    assert RememberRequest.model_validate({"message_ids": ["m1"]}).standing is None
