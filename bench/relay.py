"""The bare relay: the least a worker and a gateway can do between a model and a socket; the yardstick of the bench.

`python -m bench.relay worker|gateway`. Job by list and BLPOP, deltas of all streams together by one publish every
5 ms, one subscriber in the gateway, frames with the public protocol's fields. No persona, memory, lease, history.
Above it: `bench.scenarios`. Below it: Valkey, a model server with Ollama's API.
Rule: nothing is added here that would not be needed to move tokens; it is not a service and has no fault handling.
"""

import argparse
import asyncio
import contextlib
import hashlib
import sys
import time
import uuid
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, cast

import aiohttp
import orjson
import uvicorn
import uvloop
from redis.asyncio import Redis

JOBS, CHANNEL = "bench:jobs", "bench:deltas"
BATCH_SECONDS = 0.005
POSITION = {"epoch": "0a1b2c3d", "attempt": 1}
FIXED_END = {
    "state": "done",
    "finish_reason": "stop",
    "response_type": "direct",
    "degraded": False,
    "persisted": False,
    "memory": "unavailable",
    "model": "bench",
    "provider": "ollama",
    "continue_score": 0.0,
    "persona_state": {},
    "persona_id": "aria",
}
Message = MutableMapping[str, Any]
Send = Callable[[Message], Awaitable[None]]
Receive = Callable[[], Awaitable[Message]]


class Publisher:
    """Gathers deltas of all streams; publishes at once when idle, else every 5 ms."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._texts: dict[str, str] = {}
        self._ends: list[str] = []
        self._waiting = asyncio.Event()

    def add(self, stream_id: str, text: str) -> None:
        self._texts[stream_id] = self._texts.get(stream_id, "") + text
        self._waiting.set()

    def end(self, stream_id: str) -> None:
        self._ends.append(stream_id)
        self._waiting.set()

    async def run(self) -> None:
        while True:
            await self._waiting.wait()
            self._waiting.clear()
            texts, ends = self._texts, self._ends
            self._texts, self._ends = {}, []
            await self._redis.publish(CHANNEL, orjson.dumps([texts, ends]))
            await asyncio.sleep(BATCH_SECONDS)


async def stream_reply(client: aiohttp.ClientSession, url: str, job: dict[str, Any], out: Publisher) -> None:
    stream_id = job["stream_id"]
    body = {
        "model": "bench",
        "stream": True,
        "messages": [{"role": "user", "content": job["message"]}],
        "options": {"num_predict": 500},
    }
    rest = b""
    async with client.post(url, data=orjson.dumps(body)) as response:
        async for data in response.content.iter_any():
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                event = orjson.loads(line)
                if event["done"]:
                    out.end(stream_id)
                else:
                    out.add(stream_id, event["message"]["content"])


async def run_worker(options: argparse.Namespace) -> None:
    redis: Redis = Redis.from_url(options.redis_url)
    tasks: set[asyncio.Task[None]] = set()
    url = f"{options.model_url}/api/chat"
    connector = aiohttp.TCPConnector(limit=0)
    async with redis, aiohttp.ClientSession(connector=connector, auto_decompress=False) as client:
        publisher = Publisher(redis)
        tasks.add(asyncio.create_task(publisher.run()))
        while True:
            taken = await cast(Awaitable[list[bytes]], redis.blpop([JOBS], timeout=0))
            task = asyncio.create_task(stream_reply(client, url, orjson.loads(taken[1]), publisher))
            tasks.add(task)
            task.add_done_callback(tasks.discard)


@dataclass(slots=True)
class LiveStream:
    """What the gateway knows of one reply under way."""

    send: Send
    request_id: str
    stream_id: str
    started: float
    chunks: int = 0
    length: int = 0
    texts: list[str] = field(default_factory=list)

    async def event(self, name: str, seq: int, fields: dict[str, Any]) -> None:
        stamp = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        result = {"event_type": name, "stream_id": self.stream_id, "timestamp": stamp, **POSITION, "seq": seq}
        frame = {"jsonrpc": "2.0", "id": self.request_id, "result": result | fields}
        await self.send({"type": "websocket.send", "text": orjson.dumps(frame).decode()})

    async def begin(self, message: str) -> None:
        data = {"persona_id": "aria", "persona_name": "Aria", "message": message, "token_budget": 500}
        fields = {"message_id": self.stream_id, "durability": "durable", "persona_id": "aria", "data": data}
        await self.event("stream_start", 0, fields)

    async def delta(self, text: str) -> None:
        self.chunks += 1
        self.length += len(text)
        self.texts.append(text)
        data = {"chunk": text, "chunk_number": self.chunks, "total_length": self.length}
        await self.event("stream_chunk", self.chunks, {"chunk": text, "data": data})

    async def end(self) -> None:
        whole = "".join(self.texts)
        seconds = round(time.monotonic() - self.started, 3)
        copied = {"full_response": whole, "tokens_used": self.chunks, "processing_time": seconds}
        counts = {"chunk_count": self.chunks, "response_length": len(whole), "persona_name": "Aria", "timings": {}}
        digest = hashlib.sha256(whole.encode()).hexdigest()
        own = {"chars": len(whole), "sha256": digest, "message_id": self.stream_id, "data": copied | counts}
        await self.event("stream_complete", self.chunks + 1, FIXED_END | copied | own)


class Gateway:
    """A raw ASGI application and its one subscriber."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._streams: dict[str, LiveStream] = {}

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"ok"})
            return
        await receive()
        await send({"type": "websocket.accept"})
        while (message := await receive())["type"] == "websocket.receive":
            await self._request(orjson.loads(message["text"]), send)

    async def relay(self) -> None:
        async with self._redis.pubsub() as subscription:
            await subscription.subscribe(CHANNEL)
            async for message in subscription.listen():
                if message["type"] == "message":
                    await self._batch(*orjson.loads(message["data"]))

    async def _request(self, request: dict[str, Any], send: Send) -> None:
        if request["method"] != "persona.chat_stream":
            reply = {"jsonrpc": "2.0", "id": request["id"], "result": {"persona_id": "aria", "name": "Aria"}}
            await send({"type": "websocket.send", "text": orjson.dumps(reply).decode()})
            return
        stream_id, text = str(uuid.uuid4()), request["params"]["message"]
        live = LiveStream(send, request["id"], stream_id, time.monotonic())
        self._streams[stream_id] = live
        job = orjson.dumps({"stream_id": stream_id, "message": text})
        await cast(Awaitable[int], self._redis.rpush(JOBS, job))
        await live.begin(text)

    async def _batch(self, texts: dict[str, str], ends: list[str]) -> None:
        for stream_id, text in texts.items():
            if (live := self._streams.get(stream_id)) is not None:
                await live.delta(text)
        for stream_id in ends:
            if (live := self._streams.pop(stream_id, None)) is not None:
                await live.end()


async def run_gateway(options: argparse.Namespace) -> None:
    redis: Redis = Redis.from_url(options.redis_url)
    gateway = Gateway(redis)
    config = uvicorn.Config(
        gateway,
        port=options.port,
        ws="websockets-sansio",
        ws_per_message_deflate=False,
        lifespan="off",
        access_log=False,
        log_level="warning",
        backlog=4_096,
    )
    async with redis:
        subscriber = asyncio.create_task(gateway.relay())
        await uvicorn.Server(config).serve()
        subscriber.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await subscriber


def main() -> None:
    parser = argparse.ArgumentParser(description="the bare relay")
    parser.add_argument("role", choices=["worker", "gateway"])
    parser.add_argument("--redis-url", required=True)
    parser.add_argument("--model-url", default="http://127.0.0.1:11434")
    parser.add_argument("--port", type=int, default=8_000)
    options = parser.parse_args(sys.argv[1:])
    uvloop.run(run_worker(options) if options.role == "worker" else run_gateway(options))


if __name__ == "__main__":
    main()
