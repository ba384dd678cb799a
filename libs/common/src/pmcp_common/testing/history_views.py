"""One stream as one reader saw it (a client over all its sockets, or Redis at the end), folded event by event. Pure.

Above it: `history_facts`. Rule: repetitions are recognised by position and compared by text; a frame that joins several
positions is compared by the characters it covers, so that other joins of the same events are no fault.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum

from pmcp_common.testing.history_entries import EndSeen, FrameSeen, StreamResumed

EVIDENCE_CHARS = 80
HONEST_ENDS = frozenset({"expired", "not_resumable"})
"""Reasons after which no end can come any more: the resume window is over and the client was told so."""


class Rule(StrEnum):
    """The ten promises."""

    SEQ_CONTIGUOUS = "positions are contiguous"
    HASH_EQUAL = "the hash is equal to the text and the text to the row"
    NO_RETRACTION = "shown text is never taken back"
    ONE_TERMINAL = "each request ends exactly once"
    ONE_ROW_PER_KEY = "one row per idempotency key"
    NO_FOREIGN_TEXT = "nobody sees another's text"
    NOTHING_AFTER_END = "nothing comes after the end"
    ONE_MODEL_CALL = "at most one live model call per job"
    TURNS_IN_ORDER = "turns of a conversation are in order"
    ACKNOWLEDGED_SURVIVES = "what was acknowledged durable survives"


Fault = tuple[Rule, str]


def clipped(text: str) -> str:
    return repr(text if len(text) <= EVIDENCE_CHARS else text[:EVIDENCE_CHARS] + "…")


def digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


@dataclass(slots=True)
class StreamView:
    epoch: str | None = None
    head: int = 0
    """The highest position seen."""
    text: str = ""
    past: list[str] = field(default_factory=list)
    """Texts of earlier epochs and of frames out of place: shown once, and still subject to whose they were."""
    end: EndSeen | None = None
    told_epoch: str | None = None
    """The epoch the client was told of, together with the loss of the one before."""
    told_of_expiry: bool = False
    complete: bool = True
    """False after a gap: the text has a hole, and nothing can be said about its hash."""
    _bounds: dict[int, int] = field(default_factory=lambda: {0: 0})
    """Position → characters up to and with it, where known (not inside a joined frame)."""
    _replaying: bool = False

    def take_resume(self, resumed: StreamResumed) -> None:
        self._replaying = True
        if not resumed.recovered:
            self.told_epoch = resumed.epoch
        self.told_of_expiry = not resumed.recovered and resumed.reason in HONEST_ENDS

    def take_frame(self, frame: FrameSeen) -> Iterator[Fault]:
        yield from self._enter(frame.epoch)
        first, last = frame.first_seq, frame.seq
        place = f"positions {first}..{last}"
        if self.end is not None and (not self._replaying or last >= (self.end.seq or 0)):
            yield Rule.NOTHING_AFTER_END, f"{place} after the end at {self.end.seq}: {clipped(frame.text)}"
            self.past.append(frame.text)
            return
        if not 1 <= first <= last:
            yield Rule.SEQ_CONTIGUOUS, f"{place} make no sense"
        elif first > self.head + 1:
            yield Rule.SEQ_CONTIGUOUS, f"{place} after {self.head}"
            self.complete = False
            self._grow(last, frame.text)
        elif first == self.head + 1:
            self._grow(last, frame.text)
        else:
            yield from self._repeat(first, last, frame.text)

    def take_end(self, end: EndSeen) -> Iterator[Fault]:
        yield from self._enter(end.epoch)
        if self.end is not None:
            yield from self._second_end(self.end, end)
            return
        self.end, self._replaying = end, False
        if end.seq is None:
            yield from self._unnumbered(end)
            return
        if end.seq != self.head + 1:
            yield Rule.SEQ_CONTIGUOUS, f"end at {end.seq} after {self.head}"
            return
        if self.complete:
            yield from self._compare(end)

    def all_text(self) -> str:
        """All that was ever shown here, wrong places included."""
        return "\n".join([*self.past, self.text, (self.end.text or "") if self.end is not None else ""])

    def begin_at(self, seq: int) -> None:
        """What was before was trimmed away: no fault, but no whole text either."""
        if self.head == 0 and seq > 1:
            self.head, self.complete = seq - 1, False
            self._bounds = {self.head: 0}

    def _enter(self, epoch: str) -> Iterator[Fault]:
        if self.epoch is not None and epoch != self.epoch:
            if self.head and epoch != self.told_epoch:
                evidence = f"epoch {self.epoch} became {epoch} after {self.head} positions, and nobody said so"
                yield Rule.NO_RETRACTION, evidence
            if self.end is not None:
                yield Rule.NOTHING_AFTER_END, f"epoch {epoch} begins after the end in {self.epoch}"
            self.past.append(self.text)
            self.head, self.text, self._bounds, self.end, self.complete = 0, "", {0: 0}, None, True
        self.epoch = epoch

    def _grow(self, last: int, text: str) -> None:
        self.text += text
        self.head = last
        self._bounds[last] = len(self.text)

    def _repeat(self, first: int, last: int, text: str) -> Iterator[Fault]:
        start = self._bounds.get(first - 1)
        if text not in self.text:
            self.past.append(text)
        if start is None:
            if last > self.head:
                yield Rule.SEQ_CONTIGUOUS, f"positions {first}..{last} begin inside a joined frame and go beyond it"
            elif text not in self.text:
                yield Rule.NO_RETRACTION, f"positions {first}..{last} repeated as {clipped(text)}, never shown before"
            return
        known = self._bounds.get(last) if last <= self.head else len(self.text)
        before = self.text[start:known] if known is not None else self.text[start : start + len(text)]
        if last <= self.head and text != before:
            yield Rule.NO_RETRACTION, f"positions {first}..{last} were {clipped(before)}, now {clipped(text)}"
        elif last <= self.head:
            self._bounds[last] = start + len(text)
        elif not text.startswith(before):
            yield Rule.NO_RETRACTION, f"positions {first}..{self.head} were {clipped(before)}, now {clipped(text)}"
        else:
            self._grow(last, text[len(before) :])

    def _second_end(self, first: EndSeen, second: EndSeen) -> Iterator[Fault]:
        same = (first.seq, first.state, first.sha256) == (second.seq, second.state, second.sha256)
        if not same:
            yield Rule.ONE_TERMINAL, f"{first.state} at {first.seq}, then {second.state} at {second.seq}"
        elif not self._replaying:
            yield Rule.NOTHING_AFTER_END, f"the end at {first.seq} came again without a resume"
        self._replaying = False

    def _compare(self, end: EndSeen) -> Iterator[Fault]:
        if end.sha256 != digest(self.text):
            yield Rule.HASH_EQUAL, f"sha256 {end.sha256[:12]} is not that of {clipped(self.text)}"
        if end.chars is not None and end.chars != len(self.text):
            yield Rule.HASH_EQUAL, f"{end.chars} characters announced, {len(self.text)} shown"
        if end.text is not None and end.text != self.text:
            yield Rule.HASH_EQUAL, f"the end says {clipped(end.text)}, shown was {clipped(self.text)}"

    def _unnumbered(self, end: EndSeen) -> Iterator[Fault]:
        """The one answer of a request without streaming: it has its whole text and no positions."""
        if end.text is not None and self.head == 0:
            self.text = end.text
            if end.sha256 and end.sha256 != digest(end.text):
                yield Rule.HASH_EQUAL, f"sha256 {end.sha256[:12]} is not that of {clipped(end.text)}"
