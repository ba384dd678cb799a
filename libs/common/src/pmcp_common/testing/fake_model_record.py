"""What the fake model server saw: prompts, connections, tokens and its own timing.

Above it: `fake_model`. It knows no socket; the server tells it what happened and it answers questions.
Rule: everything kept is bounded; counters are totals since the start or the last `reset`.
"""

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

MAX_TIMINGS = 200_000  # also of markers; a crowd of 500 sockets makes about 4,000 a minute


@dataclass(slots=True)
class RecordedRequest:
    """One generation request. Times are the event loop's, in seconds; `ended` stays empty while it lives."""

    index: int
    path: str
    model: str
    messages: tuple[Mapping[str, Any], ...]
    body: Mapping[str, Any]
    behaviour: str
    arrived_at: float
    marker: str = ""
    first_token_at: float | None = None
    ended_at: float | None = None
    tokens_sent: int = 0
    ended: str = ""  # done, closed_early, fault


@dataclass(frozen=True, slots=True)
class OwnTiming:
    """What the server itself took for one request, from the request's last byte, in milliseconds."""

    marker: str
    ttft_ms: float
    total_ms: float


@dataclass(slots=True)
class Recorder:
    """Counters, recent requests, and waiters for a state to come about."""

    record_limit: int
    requests: deque[RecordedRequest] = field(init=False)
    timings: deque[OwnTiming] = field(default_factory=lambda: deque(maxlen=MAX_TIMINGS))
    answered: dict[str, None] = field(default_factory=dict)  # markers of whole answers, oldest first
    paths: Counter[str] = field(default_factory=Counter)
    open_connections: int = 0
    live_generations: int = 0
    peak_live_generations: int = 0
    tokens_sent: int = 0
    completed: int = 0
    closed_early: int = 0
    faults: int = 0
    _index: int = 0
    _waiters: list[tuple[Callable[["Recorder"], bool], asyncio.Future[None]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.requests = deque(maxlen=self.record_limit)

    def begin(self, request: RecordedRequest) -> None:
        self._index += 1
        request.index = self._index
        self.requests.append(request)
        self.live_generations += 1
        self.peak_live_generations = max(self.peak_live_generations, self.live_generations)
        self.wake()

    def end(self, request: RecordedRequest, how: str, now: float) -> None:
        """Counts the end of a generation once; later calls for the same request are ignored."""
        if request.ended:
            return
        request.ended, request.ended_at = how, now
        self.live_generations -= 1
        if how == "done":
            self.completed += 1
            self._keep_answered(request.marker)
            self._keep_timing(request)
        elif how == "closed_early":
            self.closed_early += 1
        else:
            self.faults += 1
        self.wake()

    def wake(self) -> None:
        """To be called after a change; costs one truth test while nobody waits."""
        if not self._waiters:
            return
        for waiter in list(self._waiters):
            condition, future = waiter
            if future.done() or condition(self):
                self._waiters.remove(waiter)
                if not future.done():
                    future.set_result(None)

    async def wait_until(self, condition: Callable[["Recorder"], bool], timeout_seconds: float = 5.0) -> None:
        """Returns once `condition` holds. Raises `TimeoutError`."""
        if condition(self):
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append((condition, future))
        await asyncio.wait_for(future, timeout_seconds)

    def drain_timings(self) -> list[OwnTiming]:
        taken = list(self.timings)
        self.timings.clear()
        return taken

    def reset(self) -> None:
        """Forgets totals and requests; what is open or alive stays counted."""
        self.requests.clear()
        self.timings.clear()
        self.paths.clear()
        self.tokens_sent = self.completed = self.closed_early = self.faults = 0
        self.peak_live_generations = self.live_generations

    def stats(self) -> dict[str, Any]:
        first = sorted(timing.ttft_ms for timing in self.timings)
        return {
            "requests": dict(self.paths),
            "open_connections": self.open_connections,
            "live_generations": self.live_generations,
            "peak_live_generations": self.peak_live_generations,
            "tokens_sent": self.tokens_sent,
            "completed": self.completed,
            "closed_early": self.closed_early,
            "faults": self.faults,
            "ttft_ms": {name: nearest_rank(first, share) for name, share in SHARES.items()},
        }

    def requests_json(self) -> list[dict[str, Any]]:
        return [asdict(request) for request in self.requests]

    def _keep_answered(self, marker: str) -> None:
        if marker:
            self.answered[marker] = None
        if len(self.answered) > MAX_TIMINGS:
            del self.answered[next(iter(self.answered))]

    def _keep_timing(self, request: RecordedRequest) -> None:
        if request.first_token_at is None or request.ended_at is None:
            return
        first = (request.first_token_at - request.arrived_at) * 1_000
        total = (request.ended_at - request.arrived_at) * 1_000
        self.timings.append(OwnTiming(request.marker, first, total))


SHARES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}


def nearest_rank(ordered: list[float], share: float) -> float | None:
    """The percentile of an ascending list by the nearest-rank rule; None for an empty one."""
    if not ordered:
        return None
    return round(ordered[min(len(ordered) - 1, int(len(ordered) * share))], 3)
