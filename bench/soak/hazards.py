"""What can be done to the stack: processes killed, ended and paused, peers that fall silent, connections that are cut.

Each hazard does it, waits until the cause is over (the process listens again, the network passes again), and notes it
in the history. Above it: `storm`, `tests/faults`. Rule: whatever happens, a hazard leaves its cause undone.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg

from bench.soak import lives
from bench.soak.fault_stack import FaultStack
from bench.soak.player import Plug
from pmcp_common.testing.fake_model_script import Behaviour, Kind
from pmcp_common.testing.fault_proxy import Fault, FaultProxy
from pmcp_common.testing.history import Recorder
from pmcp_common.testing.history_entries import FaultDone
from pmcp_common.testing.process_killer import Action, Outcome, ProcessKiller, Target
from pmcp_common.testing.waiting import until

BACK_SECONDS = 60.0
SEARCHED, SEARCHED_NAME, SEARCHED_AWAY = "memory.visible_memories", "visible_memories", "visible_memories_away"
HIDES_HANGUP = frozenset({
    # It does not run: its connection to the model stays, and after the lease its successor opens another.
    ("worker", Action.PAUSE.value),
    # Nobody can tell the worker that its lease is over, and it writes on as far as its model speaks. When Redis answers
    # again, a successor's claim and the news of it to the first worker are on their way at the same time.
    ("valkey", Action.PAUSE.value),
    ("redis", "silent"),
    # The worker has hung up, but its FIN waits in the switch, beside the connection of its next try.
    ("model", "silent"),
})  # fmt: skip
"""Target and action of the faults while which a worker cannot hang up on the model, or is not seen to. No others:
a gateway, a memory service or Postgres that is silent keeps no worker from its model's connection, and a process
that is killed has no connection any more."""
Hazard = Callable[["Hazards"], Awaitable[None]]


@dataclass
class Hazards:
    """`done` is what was done; the same entries are in the history. `lives`: of Redis' data, ended by a wipe and put
    aside, the oldest first."""

    stack: FaultStack
    recorder: Recorder
    chance: random.Random
    done: list[FaultDone] = field(default_factory=list)
    lives: list[Path] = field(default_factory=list)

    # ---- processes

    async def strike(self, name: str, action: Action, pause_seconds: float = 0.0) -> None:
        """Strikes the part and waits until it listens again. Raises TimeoutError when it does not."""
        old = self.stack.running.pids[name]

        async def restarted() -> int:
            await self.stack.back(name, old, BACK_SECONDS)
            return self.stack.running.pids[name]

        async with (
            self.noted(name.partition("-")[0], action.value),
            ProcessKiller({name: Target(old, restarted)}) as killer,
        ):
            struck = await killer.strike(name, action, pause_seconds)
            if struck.outcome is Outcome.NOT_RESTARTED:
                raise TimeoutError(f"{name} did not come back")

    async def strike_one_of(self, kind: str, action: Action, pause_seconds: float = 0.0) -> None:
        await self.strike(self.chance.choice(self.stack.parts(kind)), action, pause_seconds)

    async def wipe_redis(self) -> None:
        """Ended, and restarted without its data, which is put aside."""
        directory = self.stack.data / "valkey"
        await until(lambda: lives.is_written(directory))
        name, old = "valkey", self.stack.running.pids["valkey"]
        async with self.noted("redis", "wipe"), ProcessKiller({name: Target(old)}) as killer:
            # Before its end, so that no restart finds the files; not killed, so that all it answered is in them.
            self.lives.append(lives.put_aside(directory))
            await killer.strike(name, Action.TERMINATE)
            await self.stack.back(name, old, BACK_SECONDS)

    # ---- the network

    def some_door(self) -> FaultProxy:
        return self.chance.choice(self.stack.doors)

    @asynccontextmanager
    async def silent(self, proxy: FaultProxy, name: str) -> AsyncIterator[None]:
        """Accepts and passes on nothing inside the block, as behind a dead switch."""
        async with self.noted(name, "silent"):
            proxy.blackhole()
            try:
                yield
            finally:
                await proxy.heal()

    @asynccontextmanager
    async def stopped(self, proxy: FaultProxy, name: str) -> AsyncIterator[None]:
        """Refused and reset inside the block, as when the server is stopped."""
        async with self.noted(name, "stopped"):
            try:
                await proxy.refuse_new()
                proxy.reset_all()
                yield
            finally:
                await proxy.heal()

    async def silence(self, proxy: FaultProxy, name: str, seconds: float) -> None:
        async with self.silent(proxy, name):
            await asyncio.sleep(seconds)

    async def stop(self, proxy: FaultProxy, name: str, seconds: float) -> None:
        async with self.stopped(proxy, name):
            await asyncio.sleep(seconds)

    async def cut(self, proxy: FaultProxy, name: str, share: float = 1.0) -> None:
        async with self.noted(name, "cut"):
            proxy.reset_some(share)

    async def cut_one(self, plug: Plug) -> bool:
        """One client's socket; False: it is not open."""
        door = next(one for one in self.stack.doors if one.port == urlsplit(plug.url).port)
        if not door.reset_from(plug.port):
            return False
        async with self.noted("clients", "cut one by one"):
            return True

    async def slow(self, proxy: FaultProxy, name: str, seconds: float) -> None:
        async with self.noted(name, "slow"):
            proxy.set_fault(Fault(latency_ms=120, jitter_ms=100))
            try:
                await asyncio.sleep(seconds)
            finally:
                proxy.pass_through()

    # ---- one part of Postgres

    @asynccontextmanager
    async def searching_fails(self) -> AsyncIterator[None]:
        """What every search of memories reads through is not there inside the block; all else of Postgres is."""
        connection = await asyncpg.connect(self.stack.postgres_dsn)
        try:
            async with self.noted("search", "fails"):
                await connection.execute(f"ALTER FUNCTION {SEARCHED} RENAME TO {SEARCHED_AWAY}")
                try:
                    yield
                finally:
                    await connection.execute(f"ALTER FUNCTION memory.{SEARCHED_AWAY} RENAME TO {SEARCHED_NAME}")
        finally:
            await connection.close()

    @asynccontextmanager
    async def searching_hangs(self) -> AsyncIterator[None]:
        """The table of memories is locked inside the block: a search waits, all else of Postgres works."""
        connection = await asyncpg.connect(self.stack.postgres_dsn)
        try:
            async with self.noted("search", "hangs"), connection.transaction():
                await connection.execute("LOCK TABLE memory.memories IN ACCESS EXCLUSIVE MODE")
                yield
        finally:
            await connection.close()

    async def hold(self, fault: AbstractAsyncContextManager[None], seconds: float) -> None:
        async with fault:
            await asyncio.sleep(seconds)

    # ---- the model server

    async def misbehave(self, kind: Kind, calls: int) -> None:
        """The next calls go wrong, somewhere in their reply."""
        async with self.noted("model", kind.value):
            self.stack.model.script.push(Behaviour(kind, after_tokens=self.chance.randrange(12)) for _ in range(calls))

    @asynccontextmanager
    async def noted(self, target: str, action: str) -> AsyncIterator[None]:
        at = time.monotonic()
        try:
            yield
        finally:
            entry = FaultDone(at, time.monotonic(), target, action, (target, action) in HIDES_HANGUP)
            self.done.append(entry)
            self.recorder.record(entry)


@dataclass(frozen=True, slots=True)
class Choice:
    name: str
    weight: int
    do: Hazard


def _model_fault(kind: Kind) -> Choice:
    return Choice(f"model {kind.value}", 1, lambda h: h.misbehave(kind, h.chance.randint(1, 6)))


def _strike(kind: str, action: Action, weight: int, longest_pause: float = 0.0) -> Choice:
    def do(hazards: Hazards) -> Awaitable[None]:
        return hazards.strike_one_of(kind, action, hazards.chance.uniform(0.5, longest_pause) if longest_pause else 0.0)

    return Choice(f"{kind} {action.value}", weight, do)


CHOICES: tuple[Choice, ...] = (
    _strike("worker", Action.KILL, 4),
    _strike("worker", Action.TERMINATE, 2),
    _strike("worker", Action.PAUSE, 2, 16.0),
    _strike("gateway", Action.KILL, 4),
    _strike("gateway", Action.TERMINATE, 2),
    _strike("gateway", Action.PAUSE, 1, 12.0),
    _strike("memory", Action.KILL, 1),
    _strike("memory", Action.PAUSE, 1, 8.0),
    _strike("persona", Action.KILL, 1),
    _strike("valkey", Action.KILL, 2),
    _strike("valkey", Action.PAUSE, 1, 20.0),
    _strike("postgres", Action.KILL, 1),
    Choice("redis silent", 1, lambda h: h.silence(h.stack.redis, "redis", h.chance.uniform(1, 20))),
    Choice("redis cut", 2, lambda h: h.cut(h.stack.redis, "redis", 0.5)),
    Choice("postgres silent", 1, lambda h: h.silence(h.stack.postgres, "postgres", h.chance.uniform(1, 20))),
    Choice("postgres stopped", 1, lambda h: h.stop(h.stack.postgres, "postgres", h.chance.uniform(1, 20))),
    Choice("search fails", 1, lambda h: h.hold(h.searching_fails(), h.chance.uniform(1, 10))),
    Choice("search hangs", 1, lambda h: h.hold(h.searching_hangs(), h.chance.uniform(1, 10))),
    Choice("redis wipe", 2, lambda h: h.wipe_redis()),
    Choice("model silent", 1, lambda h: h.silence(h.stack.model_door, "model", h.chance.uniform(0.5, 4))),
    Choice("model cut", 1, lambda h: h.cut(h.stack.model_door, "model", 0.5)),
    Choice("clients cut", 4, lambda h: h.cut(h.some_door(), "clients", 0.7)),
    Choice(
        "clients silent", 1, lambda h: h.silence(h.chance.choice(h.stack.doors), "clients", h.chance.uniform(1, 10))
    ),
    Choice("clients slow", 1, lambda h: h.slow(h.chance.choice(h.stack.doors), "clients", h.chance.uniform(1, 4))),
    *(
        _model_fault(kind)
        for kind in (
            Kind.BUSY_503,
            Kind.BROKEN_500,
            Kind.HANG_BEFORE_HEADERS,
            Kind.HANG_AFTER_TOKENS,
            Kind.ERROR_LINE,
            Kind.EOF_WITHOUT_DONE,
            Kind.RESET,
            Kind.DROP,
            Kind.GARBAGE_LINE,
            Kind.CUT_JSON,
            Kind.SPLIT_UTF8,
        )
    ),
)


class Bag:
    """Every choice as often as its weight says, in an order of chance; an empty bag is filled again.

    So after two fillings each kind has come at least twice: independent draws would leave some out in half an hour."""

    def __init__(self, choices: Sequence[Choice], chance: random.Random) -> None:
        self._all = [choice for choice in choices for _ in range(choice.weight)]
        self._chance = chance
        self._left: list[Choice] = []

    def draw(self) -> Choice:
        if not self._left:
            self._left = self._all.copy()
            self._chance.shuffle(self._left)
        return self._left.pop()

    def put_back(self, choice: Choice) -> None:
        """It could not be done now, and is drawn last."""
        self._left.insert(0, choice)


async def storm(hazards: Hazards, choices: Sequence[Choice], pause_seconds: tuple[float, float]) -> None:
    """Hazards for ever, one after the other, with pauses between them; until cancelled."""
    bag = Bag(choices, hazards.chance)
    while True:
        await asyncio.sleep(hazards.chance.uniform(*pause_seconds))
        choice = bag.draw()
        try:
            with suppress(TimeoutError):  # noted, and the supervisor still tries
                await choice.do(hazards)
        except KeyError:  # a part that is away already is struck another time
            bag.put_back(choice)
