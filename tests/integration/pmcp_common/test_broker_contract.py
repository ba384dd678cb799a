"""The promises of `JobQueue` and `StreamBus`, run against the in-memory twin and against Redis with arq's queue."""

from __future__ import annotations

import asyncio
import itertools
from contextlib import aclosing
from dataclasses import replace

import pytest

from pmcp_common.bus import Position
from pmcp_common.contracts.errors import (
    IdempotencyConflict,
    NoActivePersona,
    SessionReplaced,
    StreamNotFound,
    TooManyRequests,
)
from pmcp_common.contracts.jobs import (
    MAX_ATTEMPTS,
    AppendResult,
    Claim,
    ClaimRefusal,
    Delta,
    JobState,
)
from tests.integration.pmcp_common.brokers import WAIT_SECONDS, Broker, begin, claimed, delta, end, read, submission


async def test_a_submitted_job_is_announced_and_can_be_claimed_with_its_ticket(broker: Broker) -> None:
    job = submission()
    accepted = await broker.queue.submit(job)
    job_id, ticket = await broker.next_ticket()
    claim = await broker.queue.claim("local", job_id, ticket)
    assert (accepted.stream_id, accepted.persona_id, accepted.duplicate) == (job.job_id, "aria", False)
    assert isinstance(claim, Claim)
    assert (claim.submission, claim.attempt, claim.last_seq, claim.cancelled) == (job, 1, 0, False)


async def test_the_session_names_the_persona_when_the_message_does_not(broker: Broker) -> None:
    await broker.set_persona("session-1", "kira")
    accepted = await broker.queue.submit(submission(persona_id=None, persona_name=None))
    assert accepted.persona_id == "kira"


async def test_without_a_persona_nothing_is_stored(broker: Broker) -> None:
    job = submission(persona_id=None, session_id="unknown")
    with pytest.raises(NoActivePersona):
        await broker.queue.submit(job)
    with pytest.raises(StreamNotFound):
        await read(broker, job)
    with pytest.raises(TimeoutError):
        await broker.next_ticket()


async def test_one_job_has_one_claim(broker: Broker) -> None:
    claim = await claimed(broker, submission())
    assert await broker.queue.claim("local", claim.submission.job_id) == ClaimRefusal.HELD


async def test_an_unknown_job_is_gone(broker: Broker) -> None:
    assert await broker.queue.claim("local", "nothing") == ClaimRefusal.GONE


async def test_events_are_read_after_any_position(broker: Broker) -> None:
    claim = await claimed(broker, job := submission())
    for seq, text in enumerate(["Well ", "met", "!"], start=1):
        assert await broker.bus.append([(claim, delta(claim, seq, text))]) == [AppendResult.OK]
    assert await broker.queue.finish(claim, end(claim, 4, "Well met!"), remember=True)
    page = await read(broker, job, after=1)
    assert [event.seq for event in page.events] == [2, 3, 4]
    assert (page.state, page.head_seq, page.events[-1].text) == (JobState.DONE, 4, "Well met!")
    assert await broker.remembered() == 1


async def test_one_append_serves_many_streams_and_judges_each_alone(broker: Broker) -> None:
    first = await claimed(broker, submission(player_id="a"))
    second = await claimed(broker, submission(player_id="b"))
    stale = replace(second, fence=second.fence - 1)
    batch = [(first, delta(first, 1, "x")), (stale, delta(stale, 1, "y")), (second, delta(second, 2, "z"))]
    assert await broker.bus.append(batch) == [AppendResult.OK, AppendResult.FENCED, AppendResult.GAP]
    assert await broker.bus.append([(first, delta(first, 1, "x"))]) == [AppendResult.DUP]


async def test_the_owning_gateway_hears_events_live_and_others_do_not(broker: Broker) -> None:
    claim = await claimed(broker, submission())
    async with (
        asyncio.timeout(WAIT_SECONDS),
        aclosing(broker.bus.subscribe("gateway-1")) as ours,
        aclosing(broker.bus.subscribe("gateway-2")) as theirs,
    ):
        assert await anext(ours) == []
        assert await anext(theirs) == []
        foreign = asyncio.ensure_future(anext(theirs))
        await broker.bus.append([(claim, delta(claim, 1, "Hi"))])
        await broker.queue.finish(claim, end(claim, 2, "Hi"), remember=False)
        heard = [*await anext(ours), *await anext(ours)]
        assert [event.seq for event in heard] == [1, 2]
        assert not foreign.done()
        foreign.cancel()
        await asyncio.gather(foreign, return_exceptions=True)


async def test_a_worker_whose_lease_ended_can_write_no_more(broker: Broker) -> None:
    paused = await claimed(broker, job := submission())
    await broker.bus.append([(paused, delta(paused, 1, "Once "))])
    await broker.expire_lease(job.job_id)
    assert (await broker.queue.reap()).requeued == 1
    successor = await broker.queue.claim("local", job.job_id)
    assert isinstance(successor, Claim)
    assert (successor.attempt, successor.last_seq) == (2, 1)
    assert await broker.bus.append([(paused, delta(paused, 2, "twice"))]) == [AppendResult.FENCED]
    assert await broker.queue.renew(paused) == AppendResult.FENCED
    assert not await broker.queue.finish(paused, end(paused, 2, "Once "), remember=True)
    assert await broker.bus.append([(successor, delta(successor, 2, "upon"))]) == [AppendResult.OK]


async def test_the_first_workers_ticket_is_refused_after_a_requeue(broker: Broker) -> None:
    await claimed(broker, job := submission())
    _, old_ticket = await broker.next_ticket()
    await broker.expire_lease(job.job_id)
    await broker.queue.reap()
    _, new_ticket = await broker.next_ticket()
    assert await broker.queue.claim("local", job.job_id, old_ticket) == ClaimRefusal.HELD
    assert isinstance(await broker.queue.claim("local", job.job_id, new_ticket), Claim)


async def test_a_living_lease_is_not_reaped(broker: Broker) -> None:
    await claimed(broker, submission())
    reaped = await broker.queue.reap()
    assert (reaped.requeued, reaped.ended) == (0, 0)


async def test_a_job_that_loses_every_worker_fails_with_what_was_shown(broker: Broker) -> None:
    claim = await claimed(broker, job := submission())
    await broker.bus.append([(claim, delta(claim, 1, "Alas"))])
    for _ in range(MAX_ATTEMPTS - 1):
        await broker.expire_lease(job.job_id)
        await broker.queue.reap()
        assert isinstance(await broker.queue.claim("local", job.job_id), Claim)
    await broker.expire_lease(job.job_id)
    assert (await broker.queue.reap()).ended == 1
    last = (await read(broker, job)).events[-1]
    assert (last.state, last.finish_reason, last.text, last.seq) == ("failed", "worker_lost", "Alas", 2)


async def test_a_stream_ends_once(broker: Broker) -> None:
    claim = await claimed(broker, job := submission())
    assert await broker.queue.finish(claim, end(claim, 1, ""), remember=True)
    assert await broker.queue.finish(claim, end(claim, 1, ""), remember=True)  # as if its answer had been lost
    assert not await broker.queue.finish(claim, end(claim, 1, "", JobState.FAILED), remember=True)
    assert await broker.bus.append([(claim, delta(claim, 2, "more"))]) == [AppendResult.TERMINAL]
    assert await broker.queue.renew(claim) == AppendResult.TERMINAL
    assert await broker.queue.claim("local", job.job_id) == ClaimRefusal.TERMINAL
    assert len((await read(broker, job)).events) == 1
    assert await broker.remembered() == 1


async def test_turns_of_one_conversation_run_in_order(broker: Broker) -> None:
    jobs = [submission() for _ in range(3)]
    for job in jobs:
        await broker.queue.submit(job)
    order = []
    for _ in jobs:
        job_id, ticket = await broker.next_ticket()
        with pytest.raises(TimeoutError):
            await broker.next_ticket()
        claim = await broker.queue.claim("local", job_id, ticket)
        order.append(claim.submission.job_id)
        await broker.queue.finish(claim, end(claim, 1, ""), remember=False)
    assert order == [job.job_id for job in jobs]


async def test_other_conversations_do_not_wait(broker: Broker) -> None:
    for player in ("a", "b"):
        await broker.queue.submit(submission(player_id=player))
    assert {(await broker.next_ticket())[0], (await broker.next_ticket())[0]}.__len__() == 2


async def test_cancelling_a_running_reply_reaches_its_worker(broker: Broker) -> None:
    claim = await claimed(broker, job := submission())
    assert await broker.queue.cancel("local", "local", job.job_id) == "cancelling"
    assert await broker.queue.renew(claim) == AppendResult.CANCEL
    assert await broker.bus.append([(claim, delta(claim, 1, "I"))]) == [AppendResult.CANCEL]
    await broker.queue.finish(claim, end(claim, 2, "I", JobState.CANCELLED), remember=False)
    assert await broker.queue.cancel("local", "local", job.job_id) == "cancelled"


async def test_cancelling_a_waiting_reply_ends_it_and_lets_the_next_turn_run(broker: Broker) -> None:
    first, second = submission(), submission()
    await broker.queue.submit(first)
    await broker.queue.submit(second)
    await broker.next_ticket()
    assert await broker.queue.cancel("local", "local", first.job_id) == "cancelled"
    assert (await read(broker, first)).events[-1].finish_reason == "cancelled"
    assert (await broker.next_ticket())[0] == second.job_id


async def test_a_foreign_stream_is_as_good_as_unknown(broker: Broker) -> None:
    await broker.queue.submit(job := submission())
    with pytest.raises(StreamNotFound):
        await read(broker, job, principal="someone else")
    with pytest.raises(StreamNotFound):
        await broker.queue.cancel("local", "someone else", job.job_id)


async def test_an_idempotency_key_makes_one_job(broker: Broker) -> None:
    first = submission(idempotency_key="k", body_hash="h")
    again = submission(idempotency_key="k", body_hash="h")
    await broker.queue.submit(first)
    accepted = await broker.queue.submit(again)
    assert (accepted.stream_id, accepted.message_id, accepted.duplicate) == (first.job_id, first.message_id, True)
    with pytest.raises(IdempotencyConflict):
        await broker.queue.submit(submission(idempotency_key="k", body_hash="other"))


async def test_a_key_of_another_player_is_another_key(broker: Broker) -> None:
    first = submission(player_id="ann", idempotency_key="1", body_hash="h")
    second = submission(player_id="ben", idempotency_key="1", body_hash="h")
    await broker.queue.submit(first)
    accepted = await broker.queue.submit(second)
    assert (accepted.stream_id, accepted.duplicate) == (second.job_id, False)


async def test_submitting_the_same_job_again_after_a_lost_answer_changes_nothing(broker: Broker) -> None:
    job = submission()
    await broker.queue.submit(job)
    await broker.queue.submit(job)
    await broker.next_ticket()
    with pytest.raises(TimeoutError):
        await broker.next_ticket()


async def test_a_conversation_takes_a_bounded_number_of_waiting_turns(broker: Broker) -> None:
    for _ in range(3):
        await broker.queue.submit(submission())
    with pytest.raises(TooManyRequests) as refusal:
        await broker.queue.submit(submission())
    assert refusal.value.data["retry_after"] > 0


async def test_the_queue_is_bounded_by_jobs_that_wait_not_by_jobs_that_run(broker: Broker) -> None:
    players = (f"player-{number}" for number in itertools.count())
    running = [submission(player_id=next(players)) for _ in range(3)]
    for job in running:
        await claimed(broker, job)
        await broker.next_ticket()
    for _ in range(5):
        await broker.queue.submit(submission(player_id=next(players)))
    with pytest.raises(TooManyRequests):
        await broker.queue.submit(submission(player_id=next(players)))


async def test_cancel_hints_name_the_job(broker: Broker) -> None:
    claim = await claimed(broker, job := submission())
    async with asyncio.timeout(WAIT_SECONDS), aclosing(broker.bus.cancellations()) as hints:
        assert await anext(hints) is None  # the subscription stands
        await broker.queue.cancel("local", "local", job.job_id)
        assert await anext(hints) == ("local", claim.submission.job_id)


async def test_heard_characters_are_kept_for_the_worker_and_the_first_word_counts(broker: Broker) -> None:
    claim = await begin(broker)
    assert await broker.queue.heard_chars(claim) is None
    for heard in (None, 4, 9):
        await broker.queue.cancel("local", "local", claim.submission.job_id, heard_chars=heard)
    assert await broker.queue.heard_chars(claim) == 4


async def test_a_cancel_that_is_meant_for_an_older_attachment_does_nothing(broker: Broker) -> None:
    claim = await begin(broker)
    job_id = claim.submission.job_id
    position = Position(job_id, await epoch_of(broker, job_id), 0)
    (found,) = await broker.bus.attach("local", "local", "gateway-2", [position])
    assert found.attachment == 1
    assert await broker.queue.cancel("local", "local", job_id, attachment=0) == "claimed"
    assert await broker.queue.renew(claim) == AppendResult.OK
    assert await broker.queue.cancel("local", "local", job_id, attachment=1) == "cancelling"


async def epoch_of(broker: Broker, job_id: str) -> str:
    return str((await broker.bus.read("local", "local", job_id, 0)).epoch)


async def test_an_attached_stream_is_live_at_the_new_gateway_and_no_longer_at_the_old(broker: Broker) -> None:
    claim = await begin(broker)
    job_id = claim.submission.job_id
    await broker.bus.append([(claim, Delta(job_id, 1, 1, "a"))])
    async with aclosing(broker.bus.subscribe("gateway-2")) as live:
        assert await anext(live) == []
        position = Position(job_id, await epoch_of(broker, job_id), 1)
        (found,) = await broker.bus.attach("local", "local", "gateway-2", [position])
        assert (found.reason, found.head_seq, found.on_interrupt) == (None, 1, "continue")
        await broker.bus.append([(claim, Delta(job_id, 2, 1, "b"))])
        async with asyncio.timeout(WAIT_SECONDS):
            assert [event.seq for event in await anext(live)] == [2]


async def test_a_stream_is_attached_whole_or_not_at_all(broker: Broker) -> None:
    claim = await begin(broker)
    job_id = claim.submission.job_id
    epoch = await epoch_of(broker, job_id)
    positions = [Position(job_id, epoch, 1), Position(job_id, "old", 0), Position("none", epoch, 0)]
    found = await broker.bus.attach("local", "local", "gateway-2", positions)
    assert [attachment.reason for attachment in found] == ["ahead", "epoch_changed", "not_resumable"]
    (foreign,) = await broker.bus.attach("local", "somebody", "gateway-2", [Position(job_id, epoch, 0)])
    assert foreign.reason == "not_resumable"


async def test_a_repeated_message_attaches_its_stream_to_the_gateway_that_asked_last(broker: Broker) -> None:
    first = submission(idempotency_key="k", body_hash="b")
    await broker.queue.submit(first)
    again = await broker.queue.submit(submission(idempotency_key="k", body_hash="b", gateway_id="gateway-2"))
    assert (again.stream_id, again.duplicate, again.attachment) == (first.job_id, True, 1)
    (known, unknown) = await broker.queue.accepted("local", "local", "player-1", ["k", "other"])
    assert (known.stream_id, known.message_id, unknown) == (first.job_id, first.message_id, None)
    assert await broker.queue.accepted("local", "somebody", "player-1", ["k"]) == [None]
    assert await broker.queue.accepted("local", "local", "player-2", ["k"]) == [None]


async def test_a_socket_of_an_older_generation_may_not_speak(broker: Broker) -> None:
    await broker.set_generation("session-1", 2)
    with pytest.raises(SessionReplaced):
        await broker.queue.submit(submission(session_gen=1))
    await broker.queue.submit(submission(session_gen=2))


async def test_a_lost_job_that_was_given_up_is_not_queued_again_and_its_message_may_be_sent_anew(
    broker: Broker,
) -> None:
    lost = submission()
    await broker.set_restored(True)
    assert await broker.bus.give_up("local", lost.job_id)
    assert await broker.bus.give_up("local", lost.job_id)
    with pytest.raises(StreamNotFound):
        await broker.queue.submit(replace(lost, requeued=True))
    other = submission()
    await broker.queue.submit(replace(other, requeued=True))
    assert not await broker.bus.give_up("local", other.job_id)
    assert (await broker.queue.submit(submission())).duplicate is False


async def test_a_lost_stream_is_not_given_up_while_lost_jobs_are_being_queued_again_unless_it_was_waited_for_too_long(
    broker: Broker,
) -> None:
    lost = submission()
    await broker.set_restored(False)
    assert not await broker.bus.give_up("local", lost.job_id)
    assert await broker.bus.give_up("local", lost.job_id, at_once=True)
    with pytest.raises(StreamNotFound):
        await broker.queue.submit(replace(lost, requeued=True))


async def test_what_was_accepted_once_has_its_place_however_much_waits(broker: Broker) -> None:
    """Else one talkative conversation would hold up all that was lost with it."""
    for _ in range(8):
        await broker.queue.submit(submission(requeued=True))
    with pytest.raises(TooManyRequests):
        await broker.queue.submit(submission())


async def test_a_reply_whose_worker_died_before_it_heard_of_the_cancellation_ends_as_cancelled(broker: Broker) -> None:
    job = submission(deadline_ms=60_000)
    claim = await claimed(broker, job)
    await broker.bus.append([(claim, Delta(job.job_id, 1, 1, "I am here"))])
    assert await broker.queue.cancel("local", "local", job.job_id, heard_chars=4) == "cancelling"
    await broker.expire_lease(job.job_id)
    await broker.pass_deadline(job.job_id)
    await broker.queue.reap()
    page = await read(broker, job)
    assert (page.events[-1].state, page.events[-1].text) == ("cancelled", "I am here")
