"""What a player may look into: its memories page by page, all that is kept of it; what others' memories do not tell."""

from __future__ import annotations

from typing import Any

import pytest

from tests.integration.pmcp_memory.conftest import Service

OWNER = {"persona_id": "aria", "player_id": "p1"}


async def store(service: Service, *memories: dict[str, Any], **owner: Any) -> list[str]:
    answer = await service.http.post("/v1/local/memories", json={**OWNER, **owner, "memories": memories})
    assert answer.status_code == 200, answer.text
    ids: list[str] = answer.json()["ids"]
    return ids


async def listed(service: Service, **params: Any) -> dict[str, Any]:
    answer = await service.http.get("/v1/local/memories", params={**OWNER, **params})
    assert answer.status_code == 200, answer.text
    page: dict[str, Any] = answer.json()
    return page


async def records(service: Service, player: str = "p1", limit: int = 100) -> tuple[list[dict[str, Any]], int]:
    """All pages joined, and how many there were."""
    pages: list[dict[str, Any]] = []
    after = None
    while not pages or after is not None:
        params = {"limit": limit} if after is None else {"limit": limit, "after": after}
        answer = await service.http.get(f"/v1/local/players/{player}/records", params=params)
        assert answer.status_code == 200, answer.text
        pages.append(answer.json())
        after = pages[-1]["next"]
        assert len(pages) < 100
    return pages, len(pages)


async def test_memories_are_listed_newest_first_page_by_page(service: Service) -> None:
    memories = [{"content": f"fact {n}", "occurred_at": f"2026-03-01T12:00:{n // 2:02}Z"} for n in range(10)]
    ids = await store(service, *memories)
    await store(service, {"content": "another player's"}, player_id="p2")
    seen: list[str] = []
    more = True
    while more:
        page = await listed(service, limit=3, **({"before": seen[-1]} if seen else {}))
        seen += [one["id"] for one in page["memories"]]
        more = page["has_more"]
    assert sorted(seen) == sorted(ids)
    times = [next(m for m, i in zip(memories, ids, strict=True) if i == one)["occurred_at"] for one in seen]
    assert times == sorted(times, reverse=True)


async def test_a_list_can_be_of_one_type_or_visibility(service: Service) -> None:
    plain, dream, public = await store(
        service,
        {"content": "a"},
        {"content": "b", "memory_type": "dream"},
        {"content": "c", "visibility": "public"},
    )
    assert [one["id"] for one in (await listed(service, memory_type="dream"))["memories"]] == [dream]
    assert [one["id"] for one in (await listed(service, visibility="public"))["memories"]] == [public]
    private = {one["id"] for one in (await listed(service, visibility="private"))["memories"]}
    assert private == {plain, dream}


async def test_a_page_ends_at_its_size_in_bytes_too(service: Service) -> None:
    await store(service, *({"content": f"{n} " + "x" * 30_000} for n in range(12)))
    page = await listed(service, limit=100)
    assert (len(page["memories"]), page["has_more"]) == (8, True)


async def test_a_page_behind_a_memory_that_is_not_there_is_refused(service: Service) -> None:
    answer = await service.http.get("/v1/local/memories", params={**OWNER, "before": "nothing"})
    assert (answer.status_code, answer.json()["code"]) == (404, -32011)


async def test_anothers_public_memory_tells_what_was_shared_and_not_by_whom(service: Service) -> None:
    (one,) = await store(service, {"content": "the bell rings", "visibility": "public", "metadata": {"room": "r1"}})
    params = {"persona_id": "kira", "player_id": "p2"}
    seen = (await service.http.get(f"/v1/local/memories/{one}", params=params)).json()
    assert (seen["content"], seen["own"], seen["player_id"], seen["participants"]) == (
        "the bell rings",
        False,
        None,
        [],
    )
    assert (seen["metadata"], seen["source_message_ids"], seen["session_id"]) == ({}, [], None)
    own = (await service.http.get(f"/v1/local/memories/{one}", params=OWNER)).json()
    assert (own["own"], own["player_id"], own["metadata"]["room"]) == (True, "p1", "r1")


@pytest.mark.parametrize("limit", [1, 3, 100])
async def test_all_of_a_player_comes_in_pages_once_each(service: Service, limit: int) -> None:
    ids = await store(service, *({"content": f"fact {n}"} for n in range(4)))
    turns = [service.turn(f"word {n}") for n in range(3)]
    await service.commit(*turns)
    await service.commit(service.turn("another's", player_id="p2", conversation_id="c2"))
    pages, number = await records(service, limit=limit)
    assert sorted(one["id"] for page in pages for one in page["memories"]) == sorted(ids)
    said = [one["message_id"] for page in pages for one in page["turns"]]
    assert said == [turn["message_id"] for turn in turns]
    assert number >= 4
    assert all(one["own"] for page in pages for one in page["memories"])


async def test_after_erasing_nothing_is_left_and_erasing_again_is_harmless(service: Service) -> None:
    await store(service, {"content": "fact"})
    await service.commit(service.turn("word"))
    await service.rows.execute("INSERT INTO memory.pruned_lately VALUES ('local', 'aria', 'p1', now())")
    assert (await service.http.delete("/v1/local/players/p1")).json() == {"turns": 1, "memories": 1}
    assert (await service.http.delete("/v1/local/players/p1")).json() == {"turns": 0, "memories": 0}
    pages, _ = await records(service)
    assert [page[kind] for page in pages for kind in ("memories", "turns", "summaries", "waiting") if page[kind]] == []
    assert await service.rows.fetchval("SELECT count(*) FROM memory.pruned_lately") == 0


@pytest.mark.parametrize("after", ["x", "turns:x", "turns:-1", "turns:99999999999999999999", "nothing:1"])
async def test_a_position_that_no_page_gave_is_refused(service: Service, after: str) -> None:
    answer = await service.http.get("/v1/local/players/p1/records", params={"after": after})
    assert (answer.status_code, answer.json()["code"]) == (422, -32602)


OPERATIONS = {
    "list": ("get", "/v1/{tenant}/memories"),
    "create": ("post", "/v1/{tenant}/memories"),
    "get": ("get", "/v1/{tenant}/memories/{memory_id}"),
    "update": ("patch", "/v1/{tenant}/memories/{memory_id}"),
    "delete": ("delete", "/v1/{tenant}/memories/{memory_id}"),
    "merge": ("post", "/v1/{tenant}/memories/merge"),
    "search": ("post", "/v1/{tenant}/memories/search"),
    "stats": ("get", "/v1/{tenant}/memories/stats"),
    "prune": ("post", "/v1/{tenant}/prunings"),
    "prune all": ("post", "/v1/{tenant}/prunings/all"),
    "prune outlook": ("get", "/v1/{tenant}/prunings/outlook"),
    "prune figures": ("get", "/v1/{tenant}/prunings"),
    "decay switch": ("put", "/v1/{tenant}/decay"),
    "decay figures": ("get", "/v1/{tenant}/decay"),
    "decay cycle": ("post", "/v1/{tenant}/decay/cycles"),
    "decay of one": ("post", "/v1/{tenant}/decay/fadings"),
    "search shared": ("post", "/v1/{tenant}/shared-memories/search"),
    "shared stats": ("get", "/v1/{tenant}/shared-memories/stats"),
    "export page": ("get", "/v1/{tenant}/players/{player_id}/records"),
    "erase": ("delete", "/v1/{tenant}/players/{player_id}"),
}


@pytest.mark.parametrize("name", sorted(OPERATIONS))
async def test_every_operation_is_in_the_openapi_document_with_its_models_and_problems(
    service: Service, name: str
) -> None:
    document = (await service.http.get("/openapi.json")).json()
    method, path = OPERATIONS[name]
    operation = document["paths"][path][method]
    assert "$ref" in operation["responses"]["200"]["content"]["application/json"]["schema"]
    for status in ("4XX", "5XX"):
        problem = operation["responses"][status]["content"]["application/problem+json"]["schema"]
        assert {"type", "title", "status", "detail", "code"} <= set(problem["required"])
    assert "422" not in operation["responses"]


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/v1/local/memories/none?persona_id=aria&player_id=p1", 404, -32011),
        ("DELETE", "/v1/local/memories/none?persona_id=aria&player_id=p1", 404, -32011),
        ("GET", "/v1/local/memories", 422, -32602),
        ("GET", "/v1/local/memories?persona_id=aria&limit=101", 422, -32602),
        ("GET", "/v1/local/memories?persona_id=a%00b", 422, -32602),
        ("POST", "/v1/local/prunings", 422, -32602),
        ("PUT", "/v1/local/decay", 422, -32602),
        ("POST", "/v1/local/shared-memories/search", 422, -32602),
        ("GET", "/v1/local/nothing", 404, -32011),
        ("PUT", "/v1/local/memories", 405, -32602),
    ],
)
async def test_errors_are_problem_documents(service: Service, method: str, path: str, status: int, code: int) -> None:
    answer = await service.http.request(method, path)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert (answer.json()["status"], answer.json()["code"]) == (status, code)
