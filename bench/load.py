"""The load client: N sockets on the public protocol, each message with a marker that its reply must carry.

`python -m bench.load --url ws://127.0.0.1:8000/mcp --sockets 50 --seconds 10`; one JSON document on standard output.
Above it: `bench.scenarios`, which starts it as a process of its own and reads the lines `window open` and
`window closed` (then CPU is read) and the result. Below it: `bench.websocket`.
Rule: it judges every reply (own marker, no other, chunks equal to the full text) and never retries silently.
"""

import argparse
import asyncio
import hashlib
import random
import re
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import orjson
import uvloop

from bench.websocket import Socket, open_socket

MARKER = re.compile(r"\[\[[^\[\]]+\]\]")
OPEN_LINE, CLOSED_LINE = "window open", "window closed"
RETRY_SECONDS = 0.2
DRAIN_SECONDS = 15.0
CONNECT_SECONDS = 20.0
SENTENCES = (
    "What do you remember of our last talk?",
    "Sing me a line about the silver harp.",
    "Which road leads out of the old forest?",
    "Tell me what the elves say of the winter stars.",
    "I found a broken lute by the river today.",
    "Who taught you the ballad of the two moons?",
)


@dataclass(frozen=True, slots=True)
class Plan:
    """One load. `pace_seconds` > 0: each socket starts a message every so often, whatever the reply takes."""

    url: str
    sockets: int
    seconds: float
    ramp_seconds: float = 2.0
    warm_seconds: float = 1.0
    think_low_seconds: float = 0.0
    think_high_seconds: float = 0.0
    pace_seconds: float = 0.0
    persona: str = "Aria"
    seed: int = 1

    def arguments(self) -> list[str]:
        pairs = ((name.replace("_", "-"), getattr(self, name)) for name in self.__slots__)
        return [part for name, value in pairs for part in (f"--{name}", str(value))]


@dataclass(slots=True)
class Result:
    """What came of it. Times in milliseconds; a sample is (marker, first token, whole reply)."""

    samples: list[tuple[str, float, float]] = field(default_factory=list)
    timings: dict[str, list[float]] = field(default_factory=dict)
    errors: Counter[str] = field(default_factory=Counter)
    finished: int = 0  # replies that ended inside the window
    chunks: int = 0
    wrong_markers: int = 0
    torn: int = 0  # chunks did not add up to the full text or its hash
    degraded: int = 0
    stuck: int = 0
    connected: int = 0
    cpu_seconds: float = 0.0  # of this client


def judge(marker: str, chunks: str, terminal: dict[str, Any], result: Result) -> None:
    """Counts what is wrong with a finished reply."""
    if MARKER.findall(chunks) != [marker]:
        result.wrong_markers += 1
    digest = terminal.get("sha256")
    if terminal.get("full_response") != chunks or digest not in (None, hashlib.sha256(chunks.encode()).hexdigest()):
        result.torn += 1
    data = terminal.get("data") or {}
    if data.get("degraded") or terminal.get("degraded"):
        result.degraded += 1
    for name, value in (data.get("timings") or {}).items():
        if isinstance(value, (int, float)):
            result.timings.setdefault(name, []).append(float(value))


class Player(Socket):
    """One socket's conversation: switch, then message after message until the window closes."""

    def __init__(self, request: bytes, number: int, load: "Load") -> None:
        super().__init__(request)
        self._load = load
        self._number = number
        self._sent = 0
        self._id = ""
        self._marker = ""
        self._parts: list[str] = []
        self._started = 0.0
        self._first: float | None = None
        self.waiting = ""  # what it waits for: "", switch, reply

    def on_open(self) -> None:
        self._load.result.connected += 1
        self._request_method("persona.switch", {"persona_id": self._load.plan.persona}, "switch")

    def on_end(self, reason: str) -> None:
        self._load.result.errors[f"socket {reason}"] += 1
        self.waiting = ""
        self._load.settled()

    def on_text(self, payload: bytes) -> None:
        now = time.perf_counter()
        message = orjson.loads(payload)
        if message.get("id") != self._id:
            return
        error = message.get("error")
        if error is not None:
            self._refused(error)
        elif self.waiting == "switch":
            self.waiting = ""
            self._later(self._load.first_delay())
        elif self.waiting == "reply":
            self._on_event(message["result"], now)

    def chat(self) -> None:
        load = self._load
        if time.perf_counter() >= load.stop_at:
            load.settled()
            return
        self._marker = f"[[{load.plan.seed}-{self._number}-{self._sent}]]"
        self._parts, self._first, self._started = [], None, time.perf_counter()
        text = f"{SENTENCES[self._sent % len(SENTENCES)]} {self._marker}"
        self._request_method("persona.chat_stream", {"message": text}, "reply")

    def _request_method(self, method: str, params: dict[str, Any], waiting: str) -> None:
        self._sent += 1
        self._id, self.waiting = f"r{self._sent}", waiting
        self.send_text(orjson.dumps({"jsonrpc": "2.0", "method": method, "params": params, "id": self._id}))

    def _on_event(self, event: dict[str, Any], now: float) -> None:
        match event.get("event_type"):
            case "stream_chunk":
                self._load.result.chunks += 1
                if self._first is None:
                    self._first = now
                self._parts.append(event.get("chunk", ""))
            case "stream_complete":
                self._complete(event, now)
            case "stream_error" | "stream_cancelled" as name:
                self._load.result.errors[name] += 1
                self._again()

    def _complete(self, event: dict[str, Any], now: float) -> None:
        load, result = self._load, self._load.result
        judge(self._marker, "".join(self._parts), event, result)
        if load.warm_at <= now <= load.stop_at:
            result.finished += 1
        if load.warm_at <= self._started and self._first is not None:
            first, total = ((moment - self._started) * 1_000 for moment in (self._first, now))
            result.samples.append((self._marker, first, total))
        self.waiting = ""
        self._later(load.next_delay(now - self._started))

    def _refused(self, error: dict[str, Any]) -> None:
        self._load.result.errors[f"{self.waiting} {error.get('code')} {str(error.get('message'))[:60]}"] += 1
        if self.waiting == "switch":
            self.on_open_failed()
        else:
            self._again()

    def on_open_failed(self) -> None:
        self.waiting = ""
        self._load.settled()

    def _again(self) -> None:
        self.waiting = ""
        self._later(RETRY_SECONDS)

    def _later(self, seconds: float) -> None:
        if seconds <= 0:
            self.chat()
        else:
            asyncio.get_running_loop().call_later(seconds, self.chat)


class Load:
    """A plan being carried out."""

    def __init__(self, plan: Plan, report: Callable[[str], None]) -> None:
        self.plan = plan
        self.result = Result()
        self.warm_at = self.stop_at = 0.0
        self._report = report
        self._random = random.Random(plan.seed)
        self._players: list[Player] = []
        self._settled = asyncio.Event()

    def first_delay(self) -> float:
        plan = self.plan
        return self._random.uniform(0.0, max(plan.think_high_seconds, plan.pace_seconds))

    def next_delay(self, took_seconds: float) -> float:
        plan = self.plan
        if plan.pace_seconds:
            return plan.pace_seconds - took_seconds
        return self._random.uniform(plan.think_low_seconds, plan.think_high_seconds)

    def settled(self) -> None:
        """To be called when a socket waits for nothing any more."""
        self._settled.set()

    async def run(self) -> Result:
        begun = time.perf_counter()
        self.warm_at = begun + self.plan.ramp_seconds + self.plan.warm_seconds
        self.stop_at = self.warm_at + self.plan.seconds
        await asyncio.gather(*(self._connect(number) for number in range(self.plan.sockets)))
        await asyncio.sleep(max(0.0, self.warm_at - time.perf_counter()))
        self._report(OPEN_LINE)
        cpu = time.process_time()
        await asyncio.sleep(max(0.0, self.stop_at - time.perf_counter()))
        self.result.cpu_seconds = time.process_time() - cpu
        self._report(CLOSED_LINE)
        await self._drain()
        for player in self._players:
            player.close()
        return self.result

    async def _connect(self, number: int) -> None:
        await asyncio.sleep(self.plan.ramp_seconds * number / self.plan.sockets)
        try:
            opening = open_socket(self.plan.url, lambda request: Player(request, number, self))
            player = await asyncio.wait_for(opening, CONNECT_SECONDS)
        except (OSError, TimeoutError) as error:
            self.result.errors[f"connect {type(error).__name__}"] += 1
            return
        assert isinstance(player, Player)
        self._players.append(player)

    async def _drain(self) -> None:
        """Waits for replies under way; what is left then is stuck."""
        deadline = time.perf_counter() + DRAIN_SECONDS
        while any(player.waiting for player in self._players):
            left = deadline - time.perf_counter()
            if left <= 0:
                break
            self._settled.clear()
            try:
                await asyncio.wait_for(self._settled.wait(), min(left, 1.0))
            except TimeoutError:
                continue
        self.result.stuck = sum(bool(player.waiting) for player in self._players)


def parse_plan(arguments: list[str]) -> Plan:
    parser = argparse.ArgumentParser(description="sockets that talk to a persona and judge each reply")
    parser.add_argument("--url", default="ws://127.0.0.1:8000/mcp")
    parser.add_argument("--sockets", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=10.0, help="length of the measured window")
    parser.add_argument("--ramp-seconds", type=float, default=2.0)
    parser.add_argument("--warm-seconds", type=float, default=1.0)
    parser.add_argument("--think-low-seconds", type=float, default=0.0)
    parser.add_argument("--think-high-seconds", type=float, default=0.0)
    parser.add_argument("--pace-seconds", type=float, default=0.0)
    parser.add_argument("--persona", default="Aria")
    parser.add_argument("--seed", type=int, default=1)
    return Plan(**vars(parser.parse_args(arguments)))


async def run_and_print(plan: Plan) -> None:
    def report(line: str) -> None:
        sys.stdout.write(line + "\n")
        sys.stdout.flush()

    result = await Load(plan, report).run()
    document = {name: getattr(result, name) for name in Result.__slots__}
    report(orjson.dumps(document).decode())


def main() -> None:
    uvloop.run(run_and_print(parse_plan(sys.argv[1:])))


if __name__ == "__main__":
    main()
