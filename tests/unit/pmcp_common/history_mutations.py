"""Single faults to plant in a clean history. Each changes the list in place and names the rules of which one must be
found broken; an empty set means that this history had nothing to break."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

from pmcp_common.testing.history_checker import Rule
from pmcp_common.testing.history_entries import (
    ClientLeft,
    EndSeen,
    Entry,
    EventHeld,
    FaultDone,
    FrameSeen,
    MarkerPlanted,
    ModelCall,
    RequestAccepted,
    RequestRefused,
    RequestSent,
    RowHeld,
    TextShown,
)
from tests.unit.pmcp_common.history_samples import sha256

Mutation = Callable[[list[Entry], random.Random], set[Rule]]


def _pick(history: list[Entry], chance: random.Random, kind: type, **wanted: object) -> int:
    fits = [
        index
        for index, entry in enumerate(history)
        if isinstance(entry, kind) and all(getattr(entry, name) == value for name, value in wanted.items())
    ]
    return chance.choice(fits)


def _last_epoch_frame(history: list[Entry], chance: random.Random) -> int:
    """Not of an epoch that Redis forgot: nothing can be said about those."""
    ends = {(e.client, e.stream, e.epoch) for e in history if isinstance(e, EndSeen)}
    fits = [i for i, e in enumerate(history) if isinstance(e, FrameSeen) and (e.client, e.stream, e.epoch) in ends]
    return chance.choice(fits)


def lose_a_position(history: list[Entry], chance: random.Random) -> set[Rule]:
    lost = history[_last_epoch_frame(history, chance)]
    assert isinstance(lost, FrameSeen)
    history[:] = [
        entry
        for entry in history
        if not (
            isinstance(entry, FrameSeen)
            and (entry.client, entry.stream, entry.epoch) == (lost.client, lost.stream, lost.epoch)
            and entry.first_seq <= lost.seq
            and entry.seq >= lost.first_seq
        )
    ]
    return {Rule.SEQ_CONTIGUOUS}


def alter_a_frame(history: list[Entry], chance: random.Random) -> set[Rule]:
    index = _last_epoch_frame(history, chance)
    frame = history[index]
    assert isinstance(frame, FrameSeen)
    history[index] = replace(frame, text=frame.text[:-1] + "\u2716")
    return {Rule.HASH_EQUAL, Rule.NO_RETRACTION}


def alter_the_hash(history: list[Entry], chance: random.Random) -> set[Rule]:
    end = history[_pick(history, chance, EndSeen)]
    for index, entry in enumerate(history):
        if isinstance(entry, EndSeen) and entry == end:
            history[index] = replace(entry, sha256=sha256("another text"))
    return {Rule.HASH_EQUAL}


def alter_a_row(history: list[Entry], chance: random.Random) -> set[Rule]:
    index = _pick(history, chance, RowHeld, role="assistant")
    row = history[index]
    assert isinstance(row, RowHeld)
    history[index] = replace(row, content=row.content + "\u2716")
    return {Rule.HASH_EQUAL}


def repeat_with_another_text(history: list[Entry], chance: random.Random) -> set[Rule]:
    index = _last_epoch_frame(history, chance)
    frame = history[index]
    assert isinstance(frame, FrameSeen)
    history.insert(index + 1, replace(frame, text=frame.text[:-1] + "\u2716"))
    return {Rule.NO_RETRACTION}


def begin_again_in_silence(history: list[Entry], chance: random.Random) -> set[Rule]:
    index = _last_epoch_frame(history, chance)
    frame = history[index]
    assert isinstance(frame, FrameSeen)
    history.insert(index + 1, replace(frame, epoch="e-9", first_seq=1, seq=1))
    return {Rule.NO_RETRACTION}


def lose_the_end(history: list[Entry], chance: random.Random) -> set[Rule]:
    lost = history[_pick(history, chance, EndSeen)]
    history[:] = [entry for entry in history if entry != lost]
    return {Rule.ONE_TERMINAL}


def end_twice(history: list[Entry], chance: random.Random) -> set[Rule]:
    index = _pick(history, chance, EndSeen)
    end = history[index]
    assert isinstance(end, EndSeen)
    history.insert(index + 1, replace(end, state="failed" if end.state == "done" else "done"))
    return {Rule.ONE_TERMINAL}


def never_answer(history: list[Entry], chance: random.Random) -> set[Rule]:
    history.append(RequestSent(1e6, "silent", "r", "tenant-0", "player-0", "[[unheard]]"))
    return {Rule.ONE_TERMINAL}


def end_with_a_bare_error(history: list[Entry], chance: random.Random) -> set[Rule]:
    accepted = history[_pick(history, chance, RequestAccepted)]
    assert isinstance(accepted, RequestAccepted)
    history.append(RequestRefused(1e6, accepted.client, accepted.request, -32603))
    return {Rule.ONE_TERMINAL}


def store_a_row_twice(history: list[Entry], chance: random.Random) -> set[Rule]:
    index = _pick(history, chance, RowHeld)
    row = history[index]
    assert isinstance(row, RowHeld)
    history.insert(index + 1, replace(row, message_id=chance.choice([row.message_id, "another"]), position=99))
    if "[[" not in row.content or "]]" not in row.content:  # what little was heard does not name its message
        history[index + 1] = replace(row, position=99)
    return {Rule.ONE_ROW_PER_KEY}


def accept_a_key_twice(history: list[Entry], chance: random.Random) -> set[Rule]:
    index = _pick(history, chance, RequestAccepted)
    accepted = history[index]
    assert isinstance(accepted, RequestAccepted)
    history.insert(index + 1, replace(accepted, stream="s-again", message_id="m-again"))
    return {Rule.ONE_ROW_PER_KEY}


def show_a_foreign_marker(history: list[Entry], chance: random.Random) -> set[Rule]:
    entry = history[_pick(history, chance, chance.choice([RowHeld, FrameSeen, TextShown, EventHeld]))]
    assert isinstance(entry, RowHeld | FrameSeen | TextShown | EventHeld)
    secret = "[[player-none-1]]"
    history[history.index(entry)] = (
        replace(entry, text=secret)
        if not isinstance(entry, RowHeld)
        else replace(entry, content=entry.content + secret)
    )
    history.append(MarkerPlanted("tenant-1", "player-none", secret))
    return {Rule.NO_FOREIGN_TEXT}


def put_a_foreign_marker_into_a_prompt(history: list[Entry], chance: random.Random) -> set[Rule]:
    index = _pick(history, chance, ModelCall)
    call = history[index]
    assert isinstance(call, ModelCall)
    foreign = "[[secret-player-1]]" if "player-0" in call.marker else "[[secret-player-0]]"
    history[index] = replace(call, prompt_markers=(foreign, call.marker))
    return {Rule.NO_FOREIGN_TEXT}


def go_on_after_the_end(history: list[Entry], chance: random.Random) -> set[Rule]:
    end = history[_pick(history, chance, EndSeen)]
    assert isinstance(end, EndSeen)
    assert end.seq is not None
    seq = chance.choice([end.seq, end.seq + 1])
    history.append(FrameSeen(1e6, end.client, end.stream, end.epoch, seq, seq, "more"))
    return {Rule.NOTHING_AFTER_END}


def go_on_after_the_end_in_redis(history: list[Entry], chance: random.Random) -> set[Rule]:
    end = next(entry for entry in history if isinstance(entry, EventHeld) and entry.state)
    history.insert(history.index(end) + 1, replace(end, seq=end.seq + 1, state=None, text="more"))
    return {Rule.NOTHING_AFTER_END}


def call_the_model_twice(history: list[Entry], chance: random.Random) -> set[Rule]:
    history[:] = [entry for entry in history if not isinstance(entry, FaultDone)]
    index = _pick(history, chance, ModelCall)
    call = history[index]
    assert isinstance(call, ModelCall)
    # In life a call lasts seconds; in the sample its ticks are shorter than what two connections may cross.
    history[index] = replace(call, ended=None)
    history.append(replace(call, ended=None))
    return {Rule.ONE_MODEL_CALL}


def swap_two_turns(history: list[Entry], chance: random.Random) -> set[Rule]:
    index = _pick(history, chance, RowHeld)
    row = history[index]
    assert isinstance(row, RowHeld)
    others = [
        i
        for i, entry in enumerate(history)
        if isinstance(entry, RowHeld) and entry.conversation == row.conversation and i != index
    ]
    other_index = chance.choice(others)
    other = history[other_index]
    assert isinstance(other, RowHeld)
    history[index], history[other_index] = (
        replace(row, position=other.position),
        replace(other, position=row.position),
    )
    return {Rule.TURNS_IN_ORDER}


def lose_a_row(history: list[Entry], chance: random.Random) -> set[Rule]:
    done = [entry for entry in history if isinstance(entry, EndSeen) and entry.state == "done"]
    lost = chance.choice(done).message_id if done else "-"
    wanted = chance.choice([lost, f"u-{lost}"])
    history[:] = [entry for entry in history if not (isinstance(entry, RowHeld) and entry.message_id == wanted)]
    return {Rule.ACKNOWLEDGED_SURVIVES} if done else set()


def forget_shown_events(history: list[Entry], chance: random.Random) -> set[Rule]:
    end = history[_pick(history, chance, EndSeen)]
    assert isinstance(end, EndSeen)
    last = (end.seq or 0) - 1
    history[:] = [
        entry
        for entry in history
        if not (isinstance(entry, EventHeld) and entry.stream == end.stream and entry.seq >= last)
    ]
    return {Rule.ACKNOWLEDGED_SURVIVES} if last > 1 else set()


def lose_an_accepted_request(history: list[Entry], chance: random.Random) -> set[Rule]:
    sent = RequestSent(1e6, "lost", "r", "tenant-0", "player-0", "[[lost]]")
    history += [sent, RequestAccepted(1e6 + 1, "lost", "r", "s-lost", "m-lost"), ClientLeft(1e6 + 2, "lost")]
    return {Rule.ACKNOWLEDGED_SURVIVES}


MUTATIONS: tuple[Mutation, ...] = (
    lose_a_position,
    alter_a_frame,
    alter_the_hash,
    alter_a_row,
    repeat_with_another_text,
    begin_again_in_silence,
    lose_the_end,
    end_twice,
    never_answer,
    end_with_a_bare_error,
    store_a_row_twice,
    accept_a_key_twice,
    show_a_foreign_marker,
    put_a_foreign_marker_into_a_prompt,
    go_on_after_the_end,
    go_on_after_the_end_in_redis,
    call_the_model_twice,
    swap_two_turns,
    lose_a_row,
    forget_shown_events,
    lose_an_accepted_request,
)
