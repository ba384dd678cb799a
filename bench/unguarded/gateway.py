"""`python -m bench.unguarded.gateway`: the real gateway, whose queue and bus promise nothing."""

from __future__ import annotations

import asyncio
from unittest.mock import patch

from bench.unguarded.broker import UnguardedBus, UnguardedQueue
from pmcp_common.contracts.jobs import Accepted, Submission
from pmcp_gateway import __main__ as process
from pmcp_gateway import app
from pmcp_gateway.recording import Recording


class NoRecording(Recording):
    def add(self, submission: Submission, accepted: Accepted) -> asyncio.Future[bool]:
        known: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        known.set_result(False)
        return known


def main() -> None:
    with patch.multiple(app, ArqJobQueue=UnguardedQueue, RedisStreamBus=UnguardedBus, Recording=NoRecording):
        process.main()


if __name__ == "__main__":
    main()
