"""Copies of personas in Redis: read across releases, as far as this worker knows their fields."""

from __future__ import annotations

import orjson

from pmcp_common.contracts import keys
from pmcp_common.redis_link import connect
from pmcp_llm_worker.persona_shelf_redis import RedisPersonaShelf
from tests.unit.pmcp_llm_worker.doubles import aria


async def test_a_copy_of_a_newer_worker_is_read_and_one_that_lacks_something_is_none(valkey_url: str) -> None:
    redis = connect(valkey_url)
    shelf, name = RedisPersonaShelf(redis), keys.persona_shelf("local")
    await redis.hset(name, "newer", orjson.dumps(aria().model_dump(mode="json") | {"new": 1}).decode())  # type: ignore[misc]
    await redis.hset(name, "older", '{"id": "p-aria"}')  # type: ignore[misc]
    assert await shelf.get("local", "newer") == aria()
    assert await shelf.get("local", "older") is None
    await redis.aclose()
