"""What recall promises: reasons, neighbours, as-of, words that are no words, and nobody else's secrets."""

from __future__ import annotations

from typing import Any

import pytest

from tests.integration.pmcp_memory.conftest import Service


async def recall(service: Service, query: str, *, tenant: str = "local", **changes: Any) -> list[dict[str, Any]]:
    body = {"persona_id": "aria", "player_id": "p1", "query": query, **changes}
    answer = await service.http.post(f"/v1/{tenant}/memories/search", json=body)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["memories"]
    return found


async def converse(
    service: Service, *lines: str, at: str = "2026-03-01T12:00:00Z", **changes: Any
) -> list[dict[str, Any]]:
    """Player and persona in turn; remembered."""
    roles = ("user", "assistant")
    turns = [service.turn(line, role=roles[place % 2], created_at=at, **changes) for place, line in enumerate(lines)]
    await service.commit(*turns)
    assert (await service.remember(*turns)).status_code == 200
    return turns


async def test_a_recalled_memory_says_why(service: Service) -> None:
    await service.learn("my dog is called Rex")
    await service.learn("the harbour tax rose")
    first, second = await recall(service, "what is my dog called")
    assert first["content"] == "my dog is called Rex"
    for memory in (first, second):
        assert sum(memory["reasons"].values()) == pytest.approx(memory["score"], abs=1e-4)
    assert first["reasons"]["meaning"] > 0
    assert first["reasons"]["wording"] > 0
    assert first["reasons"]["speaker_asked"] > 0
    assert first["source_message_ids"] == ["m1"]


async def test_neighbours_of_the_same_sitting_come_along(service: Service) -> None:
    await converse(service, "Where do you live?", "In the tower above the harbour, with a view of the sea and two cats")
    await converse(service, "A new day begins and I am here again to listen", at="2026-03-02T12:00:00Z")
    found = await recall(service, "tower harbour view")
    assert found[0]["content"].startswith("In the tower")
    assert [(one["step"], one["content"]) for one in found[0]["neighbours"]] == [(-1, "Where do you live?")]


async def test_an_answer_is_found_by_the_words_of_its_question(service: Service) -> None:
    await converse(
        service, "What is your favourite colour?", "It has always been vermilion, since my earliest days here"
    )
    await converse(service, "The bridge is closed", "Then the carts have to go round by the mill and lose an hour")
    found = await recall(service, "favourite colour", memory_type="persona_response")
    assert found[0]["content"].startswith("It has always been vermilion")


async def test_as_of_hides_what_had_not_happened_yet(service: Service) -> None:
    await converse(service, "my dog is called Rex", at="2026-01-01T00:00:00Z")
    await converse(service, "my dog ran away", at="2026-02-01T00:00:00Z")
    found = await recall(service, "dog", as_of="2026-01-15T00:00:00Z")
    assert [memory["content"] for memory in found] == ["my dog is called Rex"]


async def test_a_month_that_is_named_counts(service: Service) -> None:
    await converse(service, "we went to the market square", at="2026-01-10T00:00:00Z", conversation_id="a")
    await converse(service, "we went to the market hall", at="2026-05-10T00:00:00Z", conversation_id="b")
    for month, content in (("January", "we went to the market square"), ("May", "we went to the market hall")):
        assert (await recall(service, f"where did we go in {month}"))[0]["content"] == content


@pytest.mark.parametrize("query", ["the of and", "?!", "👋", "'; DROP TABLE memory.memories; --", "a & | ! <-> b:*"])
async def test_a_query_without_words_is_answered_by_meaning_alone(service: Service, query: str) -> None:
    await service.learn("my dog is called Rex")
    assert [memory["content"] for memory in await recall(service, query)] == ["my dog is called Rex"]


async def test_a_huge_query_and_a_huge_memory_are_taken(service: Service) -> None:
    words = " ".join(f"word{number}" for number in range(4_000))[:32_000]
    await service.learn(words)
    assert len(await recall(service, words)) == 1


async def test_an_unknown_persona_remembers_nothing(service: Service) -> None:
    await service.learn("my dog is called Rex")
    assert await recall(service, "dog", persona_id="nobody") == []


async def test_the_same_words_again_are_one_memory_with_two_sources(service: Service) -> None:
    await service.learn("My dog is called Rex!")
    await service.learn("my dog is called rex", conversation_id="later")
    (memory,) = await recall(service, "dog")
    assert memory["source_message_ids"] == ["m1", "m2"]
    assert memory["content"] == "My dog is called Rex!"


async def test_words_said_again_are_remembered_at_the_later_time(service: Service) -> None:
    await service.learn("my dog is called Rex", created_at="2026-01-05T00:00:00Z")
    await service.learn("My dog is called Rex.", created_at="2026-02-06T00:00:00Z", conversation_id="later")
    (row,) = await service.rows.fetch("SELECT occurred_at, words::text FROM memory.memories")
    assert row["occurred_at"].month == 2
    assert "februari" in row["words"]
    assert "januari" not in row["words"]


async def test_what_was_said_again_was_known_since_it_was_said_first(service: Service) -> None:
    for month in (3, 5, 1):
        at = f"2026-0{month}-05T00:00:00Z"
        await service.learn("my dog is called Rex", created_at=at, conversation_id=f"c{month}")
    found = [bool(await recall(service, "dog", as_of=f"2026-0{month}-01T00:00:00Z")) for month in (1, 2, 4, 6)]
    assert found == [False, True, True, True]


async def test_the_same_words_of_the_other_side_are_another_memory(service: Service) -> None:
    turns = [service.turn("I like tea."), service.turn("I like tea.", role="assistant")]
    await service.commit(*turns)
    await service.remember(*turns)
    rows = await service.rows.fetch("SELECT said_by, source_message_ids FROM memory.memories ORDER BY said_by")
    assert [tuple(row) for row in rows] == [("persona", ["m2"]), ("player", ["m1"])]


async def test_the_same_answer_to_another_question_is_another_memory(service: Service) -> None:
    for question in ("Do you have a sister?", "Did you steal the crown?"):
        turns = [service.turn(question, role="assistant"), service.turn("Yes, I do.")]
        await service.commit(*turns)
        await service.remember(*turns)
    rows = await service.rows.fetch("SELECT lead_in FROM memory.memories WHERE content = 'Yes, I do.' ORDER BY 1")
    assert [row["lead_in"] for row in rows] == ["Did you steal the crown?", "Do you have a sister?"]


async def test_what_happened_today_happened_again_months_later(service: Service) -> None:
    for month in (3, 6):
        await service.learn(
            "I won the race today", created_at=f"2026-0{month}-01T12:00:00Z", conversation_id=f"c{month}"
        )
    rows = await service.rows.fetch("SELECT occurred_at FROM memory.memories ORDER BY 1")
    assert [row["occurred_at"].month for row in rows] == [3, 6]


async def test_restating_in_one_batch_and_again_stores_nothing_twice(service: Service) -> None:
    turns = [service.turn("I like tea"), service.turn("I like tea."), service.turn("I like coffee")]
    await service.commit(*turns)
    assert (await service.remember(*turns)).json() == {"stored": 3}
    assert (await service.remember(*turns)).json() == {"stored": 0}
    assert await service.rows.fetchval("SELECT count(*) FROM memory.memories") == 2


@pytest.mark.parametrize(
    ("visibility", "seen_by"),
    [
        ("private", []),
        ("shared", ["another persona"]),
        ("public", ["another persona", "another player", "another of both"]),
    ],
)
async def test_visibility_says_who_else_sees_a_memory(service: Service, visibility: str, seen_by: list[str]) -> None:
    body = {
        "persona_id": "aria",
        "player_id": "p1",
        "memories": [{"content": "canary: the oak hides gold", "visibility": visibility}],
    }
    assert (await service.http.post("/v1/local/memories", json=body)).status_code == 200
    viewers = {
        "another persona": {"persona_id": "kira"},
        "another player": {"player_id": "p2"},
        "another of both": {"persona_id": "kira", "player_id": "p2"},
    }
    seen = [name for name, viewer in viewers.items() if await recall(service, "canary oak", **viewer)]
    assert seen == seen_by
    assert await recall(service, "canary oak", tenant="elsewhere") == []


async def test_a_public_memory_brings_no_private_neighbour_along(service: Service) -> None:
    turns = await converse(
        service, "canary: my secret is the blue key?", "The bakery opens at seven in the morning, always"
    )
    (row,) = await service.rows.fetch("SELECT id FROM memory.memories WHERE $1 = ANY (source_message_ids)", "m2")
    change = {"persona_id": "aria", "player_id": "p1", "visibility": "public"}
    answer = await service.http.patch(f"/v1/local/memories/{row['id']}", json=change)
    assert answer.json()["metadata"]["visibility_was"] == "private"
    found = await recall(service, "canary secret blue key bakery", player_id="p2", n_results=100)
    assert [memory["content"] for memory in found] == [turns[1]["content"]]
    assert "canary" not in str(found)
    lead_in = await service.rows.fetchval("SELECT lead_in || words::text FROM memory.memories WHERE id = $1", row["id"])
    assert "canari" not in lead_in
    assert "canary" not in lead_in


async def test_places_go_on_counting_when_a_turn_was_forgotten(service: Service) -> None:
    await converse(service, "my dog is called Rex", "A fine name for a dog that guards a house by the sea")
    memory_id = await service.rows.fetchval("SELECT id FROM memory.memories WHERE ordinal = 1")
    await service.http.delete(f"/v1/local/memories/{memory_id}", params={"persona_id": "aria", "player_id": "p1"})
    await converse(service, "my cat is called Tom", "Two animals then, and one of them is very quiet indeed")
    rows = await service.rows.fetch("SELECT ordinal FROM memory.memories ORDER BY ordinal")
    assert [row["ordinal"] for row in rows] == [2, 3, 4]


async def test_a_long_message_is_not_cut_by_the_alphabet(service: Service) -> None:
    await service.learn("my zebra is called Quill")
    told = " ".join(f"{letter}{number}word" for letter in "abcdefghij" for number in range(10))
    (found,) = await recall(service, f"{told} and then a zebra came")
    assert found["reasons"]["wording"] > 0


async def test_a_long_message_asks_by_its_last_question(service: Service) -> None:
    await service.learn("my zebra is called Quill")
    await service.learn("the harbour tax rose and the harbour was closed")
    talk = "I went down to the harbour and paid the harbour tax again. " * 8
    (first, *_) = await recall(service, f"{talk} Do you know what my zebra is called?")
    assert first["content"] == "my zebra is called Quill"
    assert service.embedder.asked[-1] == "Do you know what my zebra is called?"
