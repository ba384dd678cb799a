"""`python -m bench.unguarded.worker`: the real worker, whose queue and bus promise nothing."""

from __future__ import annotations

import asyncio
from typing import Any
from unittest.mock import patch

from bench.unguarded.broker import UnguardedBus, UnguardedQueue
from pmcp_llm_worker import __main__ as process
from pmcp_llm_worker import worker


class NoLedger:
    """Instead of the record of accepted jobs."""

    async def keep(self) -> None:
        await asyncio.Event().wait()


def no_ledger(*_: Any) -> NoLedger:
    return NoLedger()


def main() -> None:
    with patch.multiple(worker, ArqJobQueue=UnguardedQueue, RedisStreamBus=UnguardedBus, build_ledger=no_ledger):
        process.main()


if __name__ == "__main__":
    main()
