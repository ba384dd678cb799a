"""Learning from conversations: a real worker, Valkey and memory service, and a model that follows a script."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from importlib.resources.abc import Traversable
from typing import Any

import asyncpg
import pytest
import uvicorn
from prometheus_client import REGISTRY
from pydantic import SecretStr

from pmcp_common.clock import SystemClock
from pmcp_common.contracts import keys
from pmcp_common.testing.fake_model import FakeModelServer
from pmcp_common.testing.fake_model_script import Behaviour, Kind, Script
from pmcp_common.testing.waiting import until
from pmcp_llm_worker import learning_worker
from pmcp_llm_worker.learn import LearningRules
from pmcp_llm_worker.learning_book_redis import RedisLearningBook
from pmcp_llm_worker.settings import WorkerSettings
from pmcp_memory.app import build_app
from pmcp_memory.embedding import Embedder
from pmcp_memory.settings import MemorySettings
from pmcp_memory.store import MIGRATIONS
from tests.integration.pmcp_llm_worker.conftest import Client, Services, running_worker, settings_for
from tests.integration.pmcp_memory.conftest import WordEmbedder
from tests.unit.pmcp_llm_worker.doubles import TENANT

REPLY = Behaviour(text="I shall remember your sister Ilse for ever, dear friend.")
NOTES = "FACT: The player has a sister called Ilse.\nREFLECTION: They trust each other."
UNLEARNED = "SELECT count(*) FROM memory.turns WHERE NOT learned"
LESSONS = "SELECT * FROM memory.memories WHERE learned_from <> '{}' ORDER BY memory_type"


@dataclass
class Stack:
    """The worker's surroundings; `rows` is a connection of the test's own."""

    services: Services
    model: FakeModelServer
    client: Client
    rows: asyncpg.Connection
    settings: Callable[..., WorkerSettings]

    async def talk(self) -> str:
        """One message and its answer, stored and remembered; the player's id."""
        known = len(self.services.personas.interactions)
        job_id = await self.client.submit(message="My sister is called Ilse, please remember her")
        assert (await self.client.end(job_id)).state == "done"
        await self.services.until(lambda: len(self.services.personas.interactions) > known)
        return job_id

    @property
    def asked(self) -> int:
        """How often the model was."""
        return len(self.model.seen.requests)

    async def until_learned(self) -> list[Any]:
        async def learned() -> bool:
            return bool(await self.rows.fetchval(UNLEARNED) == 0)

        await until(learned)
        return list(await self.rows.fetch(LESSONS))

    async def failing(self) -> int:
        """Conversations."""
        redis: Any = self.client.redis
        return int(await redis.hlen(keys.learning_failures(TENANT)))

    async def waiting(self) -> list[tuple[bytes, float]]:
        found: list[tuple[bytes, float]] = await self.client.redis.zrange(keys.LEARNING_QUEUE, 0, -1, withscores=True)
        return found


@pytest.fixture
async def stack(
    make_database: Callable[[Mapping[str, Traversable]], Awaitable[str]],
    valkey_url: str,
    services: Services,
    model_server: FakeModelServer,
    client: Client,
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[Stack]:
    dsn = await make_database({"memory": MIGRATIONS})

    async def words(_settings: MemorySettings) -> Embedder:
        return WordEmbedder()

    app = build_app(MemorySettings(postgres_dsn=SecretStr(dsn)), embedder=words)
    config = uvicorn.Config(app, host="127.0.0.1", port=0, http="httptools", log_config=None)
    config.load()
    server = uvicorn.Server(config)
    server.lifespan = config.lifespan_class(config)
    await server.startup()
    url = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    monkeypatch.setattr(learning_worker, "LearningRules", partial(LearningRules, first_pause_seconds=0.01))
    settings = partial(
        settings_for, valkey_url, services, model_server.url, memory_url=url, worker_extraction_after_turns=2
    )
    rows = await asyncpg.connect(dsn)
    yield Stack(services, model_server, client, rows, settings)
    await rows.close()
    await server.shutdown()


def counted(outcome: str) -> float:
    return REGISTRY.get_sample_value("pmcp_learning_total", {"outcome": outcome}) or 0.0


async def test_switched_on_the_model_is_asked_once_and_its_notes_become_private_memories(stack: Stack) -> None:
    stack.model.script = Script.of(REPLY, Behaviour(text=NOTES))
    async with running_worker(stack.settings(worker_extraction="on")):
        player_id = await stack.talk()
        fact, reflection = await stack.until_learned()
    assert (fact["memory_type"], fact["content"]) == ("learning", "The player has a sister called Ilse.")
    assert (reflection["memory_type"], reflection["content"]) == ("reflection", "They trust each other.")
    sources = await stack.rows.fetch("SELECT message_id FROM memory.turns ORDER BY position")
    for lesson in (fact, reflection):
        assert (lesson["persona_id"], lesson["player_id"], lesson["visibility"]) == ("p-aria", player_id, "private")
        assert (lesson["said_by"], lesson["speaker"]) == (None, None)
        assert lesson["learned_from"] == [row["message_id"] for row in sources]
    assert stack.asked == 2


async def test_switched_off_nothing_is_asked_or_queued(stack: Stack) -> None:
    stack.model.script = Script.of(REPLY, Behaviour(text=NOTES))
    async with running_worker(stack.settings()):
        await stack.talk()
    assert (stack.asked, await stack.waiting()) == (1, [])
    assert (await stack.rows.fetchval(UNLEARNED), await stack.rows.fetch(LESSONS)) == (2, [])


async def test_with_the_budget_spent_by_any_worker_the_turns_wait_for_the_next_hour(stack: Stack) -> None:
    stack.model.script = Script.of(REPLY, Behaviour(text=NOTES))
    hour, before = int(SystemClock().now().timestamp() // 3600), counted("over_budget")
    for one in (hour, hour + 1):
        await stack.client.redis.set(keys.learning_calls(TENANT, one), 3)
    async with running_worker(stack.settings(worker_extraction="on", worker_extraction_calls_per_hour=3)):
        await stack.talk()

        async def put_off() -> bool:
            return counted("over_budget") > before

        await until(put_off)
    assert (stack.asked, await stack.rows.fetchval(UNLEARNED)) == (1, 2)
    assert len(await stack.waiting()) == 1


async def test_a_model_that_fails_and_is_well_again_is_asked_again_and_nothing_is_lost(stack: Stack) -> None:
    stack.model.script = Script.of(REPLY, Behaviour(text="I am only a model."), Behaviour(text=NOTES))
    before = counted("retried")
    async with running_worker(stack.settings(worker_extraction="on")):
        await stack.talk()
        assert len(await stack.until_learned()) == 2
    assert counted("retried") == before + 1
    assert stack.asked == 3
    assert await stack.failing() == 0


async def test_a_model_that_stays_broken_leaves_the_job_visibly_failing(stack: Stack) -> None:
    stack.model.script = Script.of(REPLY)
    stack.model.script.default = Behaviour(kind=Kind.BROKEN_500)
    async with running_worker(stack.settings(worker_extraction="on")):
        await stack.talk()

        async def failing() -> bool:
            return bool(await stack.failing())

        await until(failing)
    assert await stack.rows.fetchval(UNLEARNED) == 2


async def test_a_repeated_job_asks_nothing_and_changes_nothing(stack: Stack) -> None:
    stack.model.script = Script.of(REPLY, Behaviour(text=NOTES))
    async with running_worker(stack.settings(worker_extraction="on")):
        await stack.talk()
        kept = await stack.until_learned()

        async def over() -> bool:
            return not await stack.waiting()

        await until(over)  # it has looked once more
    assert list(await stack.rows.fetch(LESSONS)) == kept
    assert stack.asked == 2


class HalfPast:
    """A clock that a test puts forward."""

    def __init__(self) -> None:
        self.time = datetime(2026, 3, 1, 12, 30, tzinfo=UTC)

    def now(self) -> datetime:
        return self.time

    def monotonic(self) -> float:
        return self.time.timestamp()


async def test_the_budget_is_one_for_all_workers_and_new_with_the_hour(client: Client) -> None:
    clock = HalfPast()
    books = [RedisLearningBook(client.redis, clock, calls_per_hour=3) for _ in range(2)]
    assert [await books[n % 2].take_call(TENANT) for n in range(5)] == [0, 0, 0, 1800, 1800]
    assert await books[0].take_call("another-tenant") == 0
    clock.time += timedelta(minutes=30)
    assert await books[0].take_call(TENANT) == 0


async def test_failures_of_a_conversation_are_counted_by_all_workers_until_it_succeeds(client: Client) -> None:
    books = [RedisLearningBook(client.redis, HalfPast(), calls_per_hour=3) for _ in range(2)]
    assert [await book.failed(TENANT, "c") for book in books] == [1, 2]
    await books[0].succeeded(TENANT, "c")
    assert await books[1].failed(TENANT, "c") == 1
