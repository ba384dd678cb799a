"""`python -m bench.unguarded.gateway`: the real gateway, whose queue and bus promise nothing."""

from __future__ import annotations

from unittest.mock import patch

from bench.unguarded.broker import UnguardedBus, UnguardedQueue
from pmcp_gateway import __main__ as process
from pmcp_gateway import app


def main() -> None:
    with patch.multiple(app, ArqJobQueue=UnguardedQueue, RedisStreamBus=UnguardedBus):
        process.main()


if __name__ == "__main__":
    main()
