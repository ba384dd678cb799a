"""The embedded servers are real ones, as the fixtures of all other tests start them."""

from __future__ import annotations

import aiohttp
import asyncpg
import redis.asyncio

from pmcp_local.model import MODEL_NAME


async def test_postgres_has_pgvector_of_a_version_without_index_corruption(postgres_dsn: str) -> None:
    connection = await asyncpg.connect(postgres_dsn)
    try:
        await connection.execute("CREATE EXTENSION vector")
        version = await connection.fetchval("SELECT extversion FROM pg_extension WHERE extname = 'vector'")
        assert tuple(map(int, version.split("."))) >= (0, 8, 4)
        assert await connection.fetchval("SELECT '[1,0]'::vector <=> '[0,1]'::vector") == 1.0
    finally:
        await connection.close()


async def test_valkey_starts_each_test_empty(valkey_url: str) -> None:
    client = redis.asyncio.Redis.from_url(valkey_url)
    try:
        assert await client.dbsize() == 0
        await client.set("left-over", "1")
    finally:
        await client.aclose()


async def test_valkey_starts_each_test_empty_also_after_another(valkey_url: str) -> None:
    await test_valkey_starts_each_test_empty(valkey_url)


async def test_the_small_model_answers_in_words_and_says_its_name(embedded_model_url: str) -> None:
    question = {"messages": [{"role": "user", "content": "Say hello."}], "max_tokens": 12}
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{embedded_model_url}/v1/chat/completions", json=question) as response,
    ):
        answer = await response.json()
    assert answer["model"] == MODEL_NAME
    assert answer["choices"][0]["message"]["content"].strip()
