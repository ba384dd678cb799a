"""Leases of running replies: renewed together, stopped by name, and a loss outranks a cancel."""

from __future__ import annotations

import asyncio

import pytest

from pmcp_common.contracts.errors import Unavailable
from pmcp_common.contracts.jobs import AppendResult, Claim
from pmcp_common.testing.broker_memory import MemoryBroker
from pmcp_llm_worker.leases import Leases, StopReason, StopSignal
from tests.unit.pmcp_llm_worker.doubles import claimed


@pytest.mark.parametrize("answer", [AppendResult.FENCED, AppendResult.TERMINAL, AppendResult.GONE, AppendResult.GAP])
def test_a_loss_outranks_a_cancel(answer: AppendResult) -> None:
    signal = StopSignal()
    signal.take(AppendResult.OK)
    signal.take(AppendResult.DUP)
    assert signal.reason is None
    signal.take(AppendResult.CANCEL)
    assert signal.reason is StopReason.CANCELLED
    signal.take(answer)
    signal.take(AppendResult.CANCEL)
    assert signal.lost


async def test_only_the_named_reply_is_cancelled() -> None:
    broker = MemoryBroker()
    leases = Leases(broker)
    first, second = await claimed(broker, "job-1", player_id="a"), await claimed(broker, "job-2", player_id="b")
    with leases.hold(first) as one, leases.hold(second) as two:
        leases.cancel("local", "job-2")
        leases.cancel("local", "unknown")
        leases.cancel("other", "job-1")
        assert one.reason is None
        assert two.reason is StopReason.CANCELLED
    assert leases.running == 0


async def test_a_claim_cancelled_before_it_is_held_is_stopped() -> None:
    claim = await claimed(MemoryBroker())
    cancelled = Claim(claim.submission, claim.persona_id, claim.fence, 1, 0, True, 0.0)
    with Leases(MemoryBroker()).hold(cancelled) as signal:
        assert signal.reason is StopReason.CANCELLED
        await asyncio.wait_for(signal.wait(), 5)


async def test_an_unreachable_broker_is_no_loss() -> None:
    broker = MemoryBroker()
    claim = await claimed(broker)
    leases = Leases(broker)

    async def away(claim: Claim) -> AppendResult:
        raise Unavailable("away")

    broker.renew = away  # type: ignore[method-assign]
    with leases.hold(claim) as signal:
        await leases.renew_all()
        assert signal.reason is None


async def test_the_cancel_channel_is_closed_when_its_follower_ends_in_the_midst_of_a_renewal() -> None:
    broker = MemoryBroker()
    claim = await claimed(broker)
    leases = Leases(broker)
    renewing = asyncio.Event()

    async def slow(claim: Claim) -> AppendResult:
        renewing.set()
        await asyncio.Event().wait()
        return AppendResult.OK

    broker.renew = slow  # type: ignore[method-assign]
    with leases.hold(claim):
        following = asyncio.create_task(leases.follow_cancellations(broker))
        await asyncio.wait_for(renewing.wait(), 5)
        following.cancel()
        with pytest.raises(asyncio.CancelledError):
            await following
    assert broker._cancel_hints == []


async def test_the_loop_renews_until_it_is_stopped() -> None:
    broker = MemoryBroker()
    claim = await claimed(broker)
    leases = Leases(broker, renew_seconds=0.001)
    with leases.hold(claim) as signal:
        broker._jobs["local", "job-1"].fence += 1
        loop = asyncio.create_task(leases.renew_forever())
        await asyncio.wait_for(signal.wait(), 5)
        loop.cancel()
    assert signal.lost
