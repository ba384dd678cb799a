"""Random histories without a fault: what the checker must find nothing in."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from dataclasses import dataclass, field

from pmcp_common.testing.history_entries import (
    CancelAsked,
    EndSeen,
    Entry,
    EventHeld,
    FaultDone,
    FrameSeen,
    MarkerPlanted,
    ModelCall,
    RequestAccepted,
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
