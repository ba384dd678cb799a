"""History in pages, figures, summaries that grow step by step, and forgetting a player whole."""

from __future__ import annotations

from typing import Any

from tests.integration.pmcp_memory.conftest import Service

SIDE = {"persona_id": "aria", "player_id": "p1"}


async def talk(service: Service, exchanges: int, **changes: Any) -> list[dict[str, Any]]:
    turns = []
    for number in range(exchanges):
        said = service.turn(f"question {number}", **changes)
        answered = service.turn(
            f"answer {number}", role="assistant", metadata={"tokens": 3, "continue_score": 50 + number}, **changes
        )
        assert (await service.commit(said, answered)).json() == {"stored": 2}
        turns += [said, answered]
    return turns


async def read(service: Service, path: str, **query: Any) -> dict[str, Any]:
    answer = await service.http.get(f"/v1/local/conversations/c1{path}", params={**SIDE, **query})
    assert answer.status_code == 200, answer.text
    document: dict[str, Any] = answer.json()
    return document


async def write(service: Service, content: str, after_version: int, upto: str) -> int:
    body = {"content": content, "after_version": after_version, "upto_message_id": upto}
    return (await service.http.put("/v1/local/conversations/c1/summary", json=body)).status_code


async def test_history_is_read_page_by_page_without_gap_or_repeat(service: Service) -> None:
    await talk(service, 7)
    pages: list[list[str]] = []
    before: dict[str, str] = {}
    while True:
        page = await read(service, "/exchanges", limit=3, **before)
        pages.append([exchange["content"] for exchange in page["exchanges"]])
        if not page["has_more"]:
            break
        before = {"before_id": page["exchanges"][0]["message_id"]}
    assert pages == [
        ["question 4", "question 5", "question 6"],
        ["question 1", "question 2", "question 3"],
        ["question 0"],
    ]


async def test_an_exchange_has_both_sides_and_an_unanswered_one_says_so(service: Service) -> None:
    await talk(service, 1)
    await service.commit(service.turn("are you there?"), service.turn("hello?"))
    exchanges = (await read(service, "/exchanges"))["exchanges"]
    assert [exchange["reply"] for exchange in exchanges] == ["answer 0", None, None]
    assert exchanges[0]["reply_id"] == "m2"


async def test_a_page_before_an_unknown_or_foreign_message_is_an_error(service: Service) -> None:
    await talk(service, 1)
    foreign = service.turn("secret", conversation_id="c2", player_id="p2")
    await service.commit(foreign)
    for before in ("nothing", foreign["message_id"]):
        answer = await service.http.get("/v1/local/conversations/c1/exchanges", params={**SIDE, "before_id": before})
        assert answer.status_code == 404


async def test_another_player_or_tenant_reads_nothing(service: Service) -> None:
    await talk(service, 2)
    assert (await read(service, "/exchanges", player_id="p2"))["exchanges"] == []
    answer = await service.http.get("/v1/other/conversations/c1/exchanges", params=SIDE)
    assert answer.json()["exchanges"] == []


async def test_the_figures_of_a_conversation(service: Service) -> None:
    empty = await read(service, "")
    assert empty == {"turn_count": 0, "first_at": None, "last_at": None, "tokens_used": 0, "continue_score": None}
    await talk(service, 3)
    facts = await read(service, "")
    assert (facts["turn_count"], facts["tokens_used"], facts["continue_score"]) == (6, 9, 52)


async def test_a_summary_is_due_past_its_bound_and_leaves_the_newest_out(service: Service) -> None:
    await talk(service, 25)
    assert (await read(service, "/summary-task"))["turns"] == []
    turns = await talk(service, 1)
    task = await read(service, "/summary-task")
    assert (task["previous"], task["version"], len(task["turns"])) == (None, 0, 32)
    assert task["turns"][0]["content"] == "question 0"
    assert turns[-1]["content"] not in [turn["content"] for turn in task["turns"][-1:]]


async def test_summaries_grow_step_by_step_and_are_in_the_context(service: Service) -> None:
    await talk(service, 30)
    task = await read(service, "/summary-task")
    assert await write(service, "They met.", 0, task["turns"][-1]["message_id"]) == 200
    assert (await service.context("x"))["summary"] == "They met."
    assert (await read(service, "/summary-task"))["turns"] == []
    await talk(service, 5)
    task = await read(service, "/summary-task")
    assert (task["previous"], task["version"], len(task["turns"])) == ("They met.", 1, 10)
    assert await write(service, "They met and spoke.", 1, task["turns"][-1]["message_id"]) == 200


async def test_of_two_summaries_made_of_the_same_turns_one_is_refused(service: Service) -> None:
    turns = await talk(service, 30)
    assert await write(service, "first", 0, turns[10]["message_id"]) == 200
    assert await write(service, "second", 0, turns[12]["message_id"]) == 409
    assert await write(service, "backwards", 1, turns[3]["message_id"]) == 409
    assert await write(service, "nowhere", 1, "unknown") == 409
    assert (await service.context("x"))["summary"] == "first"


async def test_an_empty_summary_is_refused(service: Service) -> None:
    turns = await talk(service, 30)
    assert await write(service, "", 0, turns[10]["message_id"]) == 422


async def test_a_forgotten_player_leaves_nothing_and_others_stay(service: Service) -> None:
    kept = await service.learn("I like plums", player_id="p2", conversation_id="c2")
    turns = await talk(service, 30)
    await service.remember(turns[0])
    await write(service, "They met.", 0, turns[10]["message_id"])
    answer = await service.http.delete("/v1/local/players/p1")
    assert answer.json() == {"turns": 60, "memories": 1}
    for table in ("turns", "memories"):
        rows = await service.rows.fetch(f"SELECT player_id FROM memory.{table}")
        assert [row["player_id"] for row in rows] == ["p2"]
    assert await service.rows.fetchval("SELECT count(*) FROM memory.summaries") == 0
    assert await service.search("plums", player_id="p2") == [kept["content"]]
