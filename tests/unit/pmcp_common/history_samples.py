"""Random histories without a fault, and single faults to plant in them: the subject of the checker's tests."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

from pmcp_common.testing.history_checker import Rule
from pmcp_common.testing.history_entries import (
    CancelAsked,
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
    SectionHeld,
    SocketClosed,
    StreamResumed,
    TextShown,
)

WORDS = ["lute", "ríver", "東", "🎵 ", "road", " ", "[", "]", "song", "é\n"]


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


@dataclass
class World:
    """Players of two tenants talk; sockets break, workers die, Redis forgets, and everything is as promised."""

    chance: random.Random
    entries: list[Entry] = field(default_factory=list)
    rows: list[Entry] = field(default_factory=list)
    events: list[Entry] = field(default_factory=list)
    calls: list[Entry] = field(default_factory=list)
    now: float = 100.0
    streams: int = 0

    def tick(self) -> float:
        self.now += self.chance.uniform(0.001, 0.5)
        return self.now

    def history(self, players: int = 3, turns: int = 3) -> list[Entry]:
        for number in range(players):
            tenant, player = f"tenant-{number % 2}", f"player-{number}"
            self.entries.append(MarkerPlanted(tenant, player, f"[[secret-{player}]]"))
            for turn in range(turns):
                self.turn(tenant, player, turn)
            self.entries.append(TextShown(tenant, player, "memory.search", f"you said [[secret-{player}]]"))
        held: list[Entry] = []
        for name, section in (("rows", self.rows), ("events", self.events), ("calls", self.calls)):
            held += [*section, SectionHeld(name)]
        return self.entries + held

    def turn(self, tenant: str, player: str, turn: int) -> None:
        self.streams += 1
        stream, message_id, marker = f"s-{self.streams}", f"m-{self.streams}", f"[[{player}-{turn}]]"
        clients = [f"{player}-a"] + ([f"{player}-b"] if self.chance.random() < 0.3 else [])
        state = self.chance.choices(["done", "cancelled", "failed"], [8, 1, 1])[0]
        pieces = [marker] + [self.chance.choice(WORDS) for _ in range(self.chance.randint(1, 12))]
        for client in clients:
            request = f"r-{turn}"
            conversation = f"aria/{player}"
            self.entries.append(
                RequestSent(
                    self.tick(), client, request, tenant, player, marker, conversation, player, f"k-{player}-{turn}"
                )
            )
            self.entries.append(RequestAccepted(self.tick(), client, request, stream, message_id, "e-1"))
        self.call(marker)
        forgot = self.chance.random() < 0.15
        for client in clients:
            if forgot:
                shown = self.chance.randint(0, len(pieces) - 1)
                self.watch(client, stream, "e-1", ["lost"] * shown, None)
                loss = StreamResumed(self.tick(), client, stream, "e-2", shown, False, "epoch_changed")
                self.entries += [SocketClosed(self.tick(), client, 1006), loss]
            self.watch(client, stream, "e-2" if forgot else "e-1", pieces, state, message_id)
        self.hold(tenant, player, turn, stream, message_id, "e-2" if forgot else "e-1", pieces, state)

    def call(self, marker: str) -> None:
        start = self.tick()
        end = self.tick()
        self.calls.append(ModelCall(marker, start, end, (marker,)))
        if self.chance.random() < 0.2:  # its worker died
            self.calls.append(ModelCall(marker, self.tick(), self.tick(), (marker,)))
        elif self.chance.random() < 0.1:  # its worker was paused, and woke up when another had begun
            self.entries.append(FaultDone(start, end, "worker", "pause", hides_hangup=True))
            self.calls.append(ModelCall(marker, (start + end) / 2, self.tick(), (marker,)))

    def watch(
        self, client: str, stream: str, epoch: str, pieces: list[str], state: str | None, message_id: str = ""
    ) -> None:
        """What one client sees of one stream: joined, repeated, cut and resumed at random; `state` None: no end."""
        seen, ends = 0, [0]
        while seen < len(pieces):
            first = seen + 1
            if self.chance.random() < 0.2:  # the socket broke, and the client asked again from further back
                first = self.chance.choice(ends) + 1
                again = StreamResumed(self.tick(), client, stream, epoch, first - 1, True)
                self.entries += [SocketClosed(self.tick(), client, 1006), again]
            for low, high in self.joins(first, len(pieces)):
                text = "".join(pieces[low - 1 : high])
                self.entries.append(FrameSeen(self.tick(), client, stream, epoch, low, high, text))
                seen = max(seen, high)
                ends.append(high)
                if self.chance.random() < 0.1:
                    break
        if state is None:
            return
        if state == "cancelled":
            self.entries.append(CancelAsked(self.tick(), client, stream, 3))
        text = "".join(pieces)
        shown = text if state != "cancelled" else None
        end = EndSeen(
            self.tick(),
            client,
            stream,
            epoch,
            len(pieces) + 1,
            state,
            "stop",
            sha256(text),
            len(text),
            shown,
            message_id,
            state == "done",
        )
        self.entries.append(end)
        if self.chance.random() < 0.1:  # asked again although all was there
            self.entries += [StreamResumed(self.tick(), client, stream, epoch, len(pieces), True), end]

    def joins(self, first: int, last: int) -> Iterator[tuple[int, int]]:
        while first <= last:
            high = min(last, first + self.chance.choice([0, 0, 0, 1, 3]))
            yield first, high
            first = high + 1

    def hold(
        self,
        tenant: str,
        player: str,
        turn: int,
        stream: str,
        message_id: str,
        epoch: str,
        pieces: list[str],
        state: str,
    ) -> None:
        text = "".join(pieces)
        content = {"done": text, "cancelled": text[:3], "failed": text}[state]
        where = (tenant, player, f"conv-{player}")
        said = RowHeld(*where, 2 * turn, "user", f"u-{message_id}", f"Hello [[{player}-{turn}]]")
        self.rows += [said, RowHeld(*where, 2 * turn + 1, "assistant", message_id, content)]
        for seq, piece in enumerate(pieces, 1):
            self.events.append(EventHeld(tenant, stream, epoch, seq, piece))
        self.events.append(EventHeld(tenant, stream, epoch, len(pieces) + 1, text, state, sha256(text)))


def sample(seed: int, players: int = 3, turns: int = 3) -> list[Entry]:
    return World(random.Random(seed)).history(players, turns)


# ---- single faults. Each changes the list in place and names the rules of which one must be found broken.

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
        if entry == end:
            history[index] = replace(entry, sha256=sha256("another text"))  # type: ignore[call-arg]  # equal to an end
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
    index = _pick(history, chance, ModelCall)
    call = history[index]
    assert isinstance(call, ModelCall)
    history[:] = [entry for entry in history if not isinstance(entry, FaultDone)]
    assert call.ended is not None
    history.append(replace(call, started=(call.started + call.ended) / 2, ended=None))
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
