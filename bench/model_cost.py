"""What the fake model server itself costs: CPU per token at a given rate. `python -m bench.model_cost`.

It opens raw sockets, so that the reader is cheaper than the server; both are printed. It decides nothing:
the figure is there to be subtracted from, or compared with, what the measured system costs.
"""

import argparse
import asyncio
import sys
from pathlib import Path
from typing import cast

import orjson
import uvloop

from bench.processes import Family, free_port, usage_by_name

LOGS = Path(".pmcp/bench")


class Reader(asyncio.Protocol):
    """Asks again as soon as an answer has ended, until told to stop."""

    def __init__(self, request: bytes) -> None:
        self._request = request
        self.answers = 0
        self.bytes_read = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is none by inheritance
        self.transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self.bytes_read += len(data)
        if data.endswith(b"\r\n0\r\n\r\n"):
            self.answers += 1
            self.transport.write(self._request)


def request_bytes(model: str) -> bytes:
    body = orjson.dumps({"model": model, "messages": [{"role": "user", "content": "hello [[cost-1]]"}]})
    return b"POST /api/chat HTTP/1.1\r\nHost: fake\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)


async def measure(options: argparse.Namespace) -> None:
    port = free_port()
    timing = ("--port", str(port), "--ttft-ms", "50", "--gap-ms", str(options.gap_ms), "--tokens", "40")
    async with Family(LOGS) as family:
        server = await family.start_python("fake_model", "pmcp_common.testing.fake_model", *timing)
        await family.wait_for_http(server, f"http://127.0.0.1:{port}/api/version")
        loop = asyncio.get_running_loop()
        readers = []
        for _ in range(options.streams):
            _, reader = await loop.create_connection(lambda: Reader(request_bytes("any")), "127.0.0.1", port)
            readers.append(reader)
        await asyncio.sleep(1.0)
        before, start = usage_by_name({"server": [server.pid]})["server"], loop.time()
        first = sum(reader.answers for reader in readers)
        await asyncio.sleep(options.seconds)
        after, elapsed = usage_by_name({"server": [server.pid]})["server"], loop.time() - start
        tokens = (sum(reader.answers for reader in readers) - first) * 40
        cpu = after.cpu_seconds - before.cpu_seconds
        for reader in readers:
            reader.transport.abort()
    print(
        f"{options.streams} streams: {tokens / elapsed:,.0f} tokens/s, server {cpu / elapsed:.0%} of a core, "
        f"{cpu / max(1, tokens) * 1e6:.1f} µs per token, {after.rss_mb:.0f} MB"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="CPU per token of the fake model server")
    parser.add_argument("--streams", type=int, default=215)
    parser.add_argument("--gap-ms", type=float, default=20.0)
    parser.add_argument("--seconds", type=float, default=8.0)
    uvloop.run(measure(parser.parse_args(sys.argv[1:])))


if __name__ == "__main__":
    main()
