"""What the faults cost: pauses that clients saw, and seconds in which nobody was served. Pure.

A fault's *recovery* is the longest silence any one waiting client saw that touches the fault, from the fault's begin
to what the client saw next. Its *unavailable* time is the sum of silences of more than a second that all waiting
clients shared. Silences belong to every fault they touch, so that overlapping faults count against each other.
"""

from __future__ import annotations

import bisect
import itertools
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from pmcp_common.testing.history_entries import (
    ClientLeft,
    EndSeen,
    Entry,
    FaultDone,
    FrameSeen,
    RequestAccepted,
    RequestRefused,
    RequestSent,
)

SILENCE_SECONDS = 1.0
"""A pause of all clients shorter than this is none: a model takes its time too."""
AFTER_SECONDS = 2.0
"""A silence that begins so soon after a fault's end still belongs to it."""
MONTHLY_BUDGET_SECONDS = 43 * 60 + 12
"""99.9 % of 30 days."""

Span = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one kind of fault."""

    name: str
    faults: int
    lasted_p50: float
    recovery_p50: float
    recovery_p95: float
    recovery_max: float
    unavailable_mean: float
    unavailable_max: float

    @property
    def affordable_a_month(self) -> int | None:
        """So many faults of this kind fit into 43 min 12 s; None: they cost nothing that was measured."""
        return int(MONTHLY_BUDGET_SECONDS / self.unavailable_mean) if self.unavailable_mean > 0 else None


@dataclass(slots=True)
class Course:
    """What the history says about time."""

    faults: list[FaultDone] = field(default_factory=list)
    waits: list[Span] = field(default_factory=list)
    """Times between two things a client saw of one request."""
    streams: dict[str, Span] = field(default_factory=dict)
    """First and last thing seen, by stream."""


def course_of(history: Iterable[Entry]) -> Course:
    reader = _Reader()
    for entry in history:
        reader.take(entry)
    return reader.course


@dataclass(slots=True)
class _Reader:
    course: Course = field(default_factory=Course)
    _last: dict[tuple[str, str], float] = field(default_factory=dict)
    """(client, request) → since when it waits for something to see."""
    _requests: dict[tuple[str, str], str] = field(default_factory=dict)
    """(client, stream) → request"""

    def take(self, entry: Entry) -> None:
        match entry:
            case FaultDone():
                self.course.faults.append(entry)
            case RequestSent():
                self._last[entry.client, entry.request] = entry.at
            case RequestRefused():
                self._saw((entry.client, entry.request), entry.at, over=True)
            case RequestAccepted():
                self._requests[entry.client, entry.stream] = entry.request
                self._stretch(entry.stream, entry.at)
            case FrameSeen() | EndSeen():
                request = self._requests.get((entry.client, entry.stream), "")
                self._saw((entry.client, request), entry.at, over=isinstance(entry, EndSeen))
                self._stretch(entry.stream, entry.at)
            case ClientLeft():
                self._last = {key: at for key, at in self._last.items() if key[0] != entry.client}
            case _:
                pass

    def _saw(self, key: tuple[str, str], at: float, *, over: bool) -> None:
        before = self._last.pop(key, None)
        if before is not None:
            self.course.waits.append((before, at))
            if not over:
                self._last[key] = at

    def _stretch(self, stream: str, at: float) -> None:
        first, _ = self.course.streams.get(stream, (at, at))
        self.course.streams[stream] = (first, at)


def costs(course: Course) -> list[Cost]:
    """Dearest first."""
    by_name: dict[str, list[tuple[FaultDone, float, float]]] = defaultdict(list)
    waits = sorted(course.waits)
    longest = longest_of(waits)
    silences = list(shared_silences(waits))
    for fault in course.faults:
        unserved = sum(end - start for start, end in silences if _touches(fault, start, end))
        by_name[f"{fault.target} {fault.action}"].append((fault, recovery(fault, waits, longest), unserved))
    found = [_cost(name, rows) for name, rows in by_name.items()]
    return sorted(found, key=lambda cost: (-cost.unavailable_mean, -cost.recovery_max))


def _cost(name: str, rows: list[tuple[FaultDone, float, float]]) -> Cost:
    lasted = sorted(fault.until - fault.at for fault, _, _ in rows)
    recoveries = sorted(seconds for _, seconds, _ in rows)
    unavailable = [seconds for _, _, seconds in rows]
    return Cost(
        name,
        len(rows),
        nearest_rank(lasted, 0.5),
        nearest_rank(recoveries, 0.5),
        nearest_rank(recoveries, 0.95),
        recoveries[-1],
        sum(unavailable) / len(rows),
        max(unavailable),
    )


def longest_of(waits: list[Span]) -> float:
    return max((end - start for start, end in waits), default=0.0)


def recovery(fault: FaultDone, waits: list[Span], longest_wait: float = float("inf")) -> float:
    """Seconds from the fault's begin to the end of the longest wait that was going on then or began under it.

    `waits` is sorted; none of them is longer than `longest_wait`, so that older ones need not be looked at.
    """
    longest = 0.0
    first = bisect.bisect_left(waits, (fault.at - longest_wait, 0.0))
    for start, end in waits[first : bisect.bisect_right(waits, (fault.until + AFTER_SECONDS, float("inf")))]:
        if end > fault.at:
            longest = max(longest, end - max(start, fault.at))
    return longest


def shared_silences(waits: list[Span]) -> Iterator[Span]:
    """Times of more than SILENCE_SECONDS in which somebody waited and nobody saw anything. `waits` is sorted."""
    moments = sorted({end for _, end in waits})
    starts = [start for start, _ in waits]
    longest = longest_of(waits)
    for before, after in itertools.pairwise(moments):
        if after - before <= SILENCE_SECONDS:
            continue
        # The one whose wait ended the silence waited at least from its own start.
        older = waits[bisect.bisect_left(starts, after - longest) : bisect.bisect_left(starts, after)]
        waiting_since = min(start for start, end in older if end >= after)
        begin = max(before, waiting_since)
        if after - begin > SILENCE_SECONDS:
            yield begin, after


def _touches(fault: FaultDone, start: float, end: float) -> bool:
    return start <= fault.until + AFTER_SECONDS and end >= fault.at


def lived_through_a_fault(course: Course) -> int:
    """Streams that were going on during a fault."""
    return sum(
        1
        for first, last in course.streams.values()
        if any(fault.at <= last and first <= fault.until for fault in course.faults)
    )


def faults_of(faults: Iterable[FaultDone], first: float, last: float) -> tuple[str, ...]:
    """Names of those that a stream went through, or that were over shortly before it, each once."""
    touching = (fault for fault in faults if _touches(fault, first, last))
    return tuple(dict.fromkeys(f"{fault.target} {fault.action}" for fault in touching))


def nearest_rank(ordered: list[float], share: float) -> float:
    """The percentile of an ascending, non-empty list."""
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]
