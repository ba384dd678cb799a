"""The emitter: first piece at once, then together; numbers without gaps whatever the bus does."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pmcp_common.contracts.errors import Unavailable
from pmcp_common.contracts.jobs import AppendResult, Claim, Delta
from pmcp_common.testing.broker_memory import MemoryBroker
from pmcp_llm_worker import emitter as emitting
from pmcp_llm_worker.emitter import Emitter, EmitterHub
from pmcp_llm_worker.leases import StopReason, StopSignal
from tests.unit.pmcp_llm_worker.doubles import SteppingClock, claimed, submission

Batch = Sequence[tuple[Claim, Delta]]


class WatchedBus(MemoryBroker):
    """Keeps each batch; `failures` are raised first, before or after the append took place."""

    def __init__(self) -> None:
        super().__init__()
        self.batches: list[list[Delta]] = []
        self.failures: list[str] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.in_flight: set[str] = set()
        self.came = asyncio.Event()

    async def append(self, batch: Batch) -> list[AppendResult]:
        names = {delta.stream_id for _, delta in batch}
        assert not names & self.in_flight
        assert len(names) == len(batch)
        self.in_flight |= names
        self.batches.append([delta for _, delta in batch])
        self.came.set()
        await self.gate.wait()
        self.in_flight -= names
        failure = self.failures.pop(0) if self.failures else ""
        if failure == "before":
            raise Unavailable("away")
        answers = await super().append(batch)
        if failure == "after":
            raise Unavailable("away")
        return answers


@pytest.fixture
def bus() -> WatchedBus:
    return WatchedBus()


@pytest.fixture
def hub(bus: WatchedBus, monkeypatch: pytest.MonkeyPatch) -> EmitterHub:
    monkeypatch.setattr(emitting, "RETRY_SECONDS", 0.001)
    return EmitterHub(bus, SteppingClock())


async def opened(hub: EmitterHub, bus: WatchedBus, job_id: str = "job-1", **changes: object) -> Emitter:
    return hub.open(await claimed(bus, job_id, player_id=job_id, **changes), StopSignal())


async def drained(emitter: Emitter) -> None:
    async with asyncio.timeout(5):
        await emitter.drain()


async def test_the_first_piece_leaves_in_the_same_turn_of_the_loop(hub: EmitterHub, bus: WatchedBus) -> None:
    emitter = await opened(hub, bus)
    emitter.write("Hel")
    for _ in range(3):
        await asyncio.sleep(0)
    assert [[delta.text for delta in batch] for batch in bus.batches] == [["Hel"]]
    emitter.write("lo")
    await asyncio.sleep(0)
    assert len(bus.batches) == 1
    await drained(emitter)
    assert emitter.text == "Hello"
    assert emitter.sha256 == hashlib.sha256(b"Hello").hexdigest()
    assert emitter.seq == 2


async def test_pieces_within_a_tick_leave_as_one_and_all_streams_together(hub: EmitterHub, bus: WatchedBus) -> None:
    emitters = [await opened(hub, bus, f"job-{n}") for n in range(3)]
    for emitter in emitters:
        emitter.write("a")
    for _ in range(3):
        await asyncio.sleep(0)
    for emitter in emitters:
        emitter.write("b")
        emitter.write("c")
    bus.came.clear()
    async with asyncio.timeout(5):
        await bus.came.wait()
    assert [[delta.text for delta in batch] for batch in bus.batches] == [["a"] * 3, ["bc"] * 3]


async def test_a_reply_that_is_not_streamed_waits_longer(hub: EmitterHub, bus: WatchedBus) -> None:
    emitter = await opened(hub, bus, streaming=False)
    for piece in ("one ", "two ", "three"):
        emitter.write(piece)
        await asyncio.sleep(0)
    assert bus.batches == []
    await drained(emitter)
    assert [[delta.text for delta in batch] for batch in bus.batches] == [["one two three"]]


async def test_what_comes_during_a_flight_waits_for_its_answer(hub: EmitterHub, bus: WatchedBus) -> None:
    emitter = await opened(hub, bus)
    bus.gate.clear()
    emitter.write("a")
    await bus.came.wait()
    emitter.write("b")
    draining = asyncio.create_task(drained(emitter))
    await asyncio.sleep(0)
    assert len(bus.batches) == 1
    bus.gate.set()
    await draining
    assert emitter.text == "ab"


@pytest.mark.parametrize("failure", ["before", "after"])
async def test_an_unanswered_append_is_sent_again_under_its_number(
    hub: EmitterHub, bus: WatchedBus, failure: str
) -> None:
    emitter = await opened(hub, bus)
    bus.failures = [failure, failure]
    emitter.write("a")
    await bus.came.wait()
    emitter.write("b")
    await drained(emitter)
    assert emitter.text == "ab"
    events = (await bus.read("local", "local", "job-1", 0)).events
    assert [(event.seq, event.text) for event in events] == [(1, "a"), (2, "b")]


async def test_white_space_before_the_first_word_and_nul_are_dropped(hub: EmitterHub, bus: WatchedBus) -> None:
    emitter = await opened(hub, bus)
    for piece in (" ", "\n", "\x00", "  Hi", " you\x00"):
        emitter.write(piece)
    await drained(emitter)
    assert emitter.text == "Hi you"


async def test_a_huge_piece_leaves_in_several(hub: EmitterHub, bus: WatchedBus) -> None:
    emitter = await opened(hub, bus)
    text = "é🌟" * emitting.MAX_DELTA_CHARS
    emitter.write(text)
    await drained(emitter)
    assert emitter.text == text
    assert max(len(batch[0].text) for batch in bus.batches) == emitting.MAX_DELTA_CHARS


async def test_a_cancelled_stream_keeps_what_was_written(hub: EmitterHub, bus: WatchedBus) -> None:
    emitter = await opened(hub, bus)
    await bus.cancel("local", "local", "job-1")
    emitter.write("a")
    await drained(emitter)
    assert emitter.signal.reason is StopReason.CANCELLED
    assert emitter.text == "a"


async def test_a_lost_claim_stops_the_stream_at_once(hub: EmitterHub, bus: WatchedBus) -> None:
    emitter = await opened(hub, bus)
    emitter.claim = Claim(submission(), "p-aria", 99, 1, 0, False, 0.0)
    emitter.write("a")
    await drained(emitter)
    assert emitter.signal.lost
    assert emitter.text == ""


async def test_a_loss_seen_elsewhere_ends_a_drain_that_waits_for_the_broker(hub: EmitterHub, bus: WatchedBus) -> None:
    emitter = await opened(hub, bus)
    bus.failures = ["before"] * 1000
    emitter.write("a")
    draining = asyncio.create_task(drained(emitter))
    await bus.came.wait()
    emitter.signal.set(StopReason.LOST)
    await draining
    assert len(bus.failures) > 0


async def test_a_fault_of_the_bus_ends_the_reply_and_not_the_others(
    hub: EmitterHub, bus: WatchedBus, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    emitter = await opened(hub, bus)

    async def explode(_batch: Batch) -> list[AppendResult]:
        raise LookupError

    monkeypatch.setattr(bus, "append", explode)
    emitter.write("a")
    await drained(emitter)
    assert emitter.signal.lost
    await asyncio.sleep(0)
    assert "append failed unexpectedly" in caplog.text


async def test_a_second_attempt_goes_on_behind_what_was_shown(hub: EmitterHub, bus: WatchedBus) -> None:
    claim = await claimed(bus)
    await bus.append([(claim, Delta("job-1", 1, 1, "shown"))])
    emitter = hub.open(Claim(claim.submission, "p-aria", claim.fence, 2, 1, False, 0.0), StopSignal(), "shown")
    emitter.write(" and more")
    await drained(emitter)
    assert emitter.text == "shown and more"
    assert emitter.sha256 == hashlib.sha256(b"shown and more").hexdigest()
    assert emitter.seq == 2


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.lists(st.text("aé🌟 ", min_size=1, max_size=5), max_size=20), min_size=1, max_size=4),
    st.lists(st.sampled_from(["", "before", "after"]), max_size=8),
)
def test_streams_are_contiguous_and_whole_whatever_the_bus_does(texts: list[list[str]], failures: list[str]) -> None:
    async def scenario() -> None:
        bus = WatchedBus()
        bus.failures = list(failures)
        hub = EmitterHub(bus, SteppingClock())
        emitters = [await opened(hub, bus, f"job-{n}") for n in range(len(texts))]

        async def write(emitter: Emitter, pieces: list[str]) -> None:
            for piece in pieces:
                emitter.write(piece)
                await asyncio.sleep(0)
            await drained(emitter)

        await asyncio.gather(*(write(e, pieces) for e, pieces in zip(emitters, texts, strict=True)))
        for number, (emitter, pieces) in enumerate(zip(emitters, texts, strict=True)):
            events = (await bus.read("local", "local", f"job-{number}", 0)).events
            assert [event.seq for event in events] == list(range(1, len(events) + 1))
            assert "".join(event.text for event in events) == "".join(pieces).lstrip() == emitter.text

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(emitting, "RETRY_SECONDS", 0.001)
        asyncio.run(scenario())
