"""`python -m bench.memory quality|parts|latency|writes|saves`: each on its own PostgreSQL; a cache stays behind."""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from bench.memory.latency import run_latency
from bench.memory.parts import run_parts
from bench.memory.quality import run_quality
from bench.memory.saves import run_saves
from bench.memory.writes import run_writes


class BenchSettings(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="PMCP_", frozen=True, extra="ignore")

    locomo: Path | None = Field(default=None, description="a LoCoMo file; the quality bench skips it when absent")
    data_dir: Path = Field(default=Path(".pmcp"), description="the embedding model and cached vectors")


def main() -> None:
    settings = BenchSettings()
    parser = argparse.ArgumentParser(prog="python -m bench.memory", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    quality = commands.add_parser("quality", help="evidence recall on LoCoMo and on our first-person dialogues")
    quality.add_argument("--data", type=Path, default=settings.locomo, help="a LoCoMo file (or PMCP_LOCOMO)")
    quality.add_argument("--no-baselines", action="store_true", help="the engine only")
    quality.add_argument("--adversarial", action="store_true", help="category 5 in the table by category, too")
    parts = commands.add_parser("parts", help="what each part of the score is worth")
    parts.add_argument("--data", type=Path, default=settings.locomo, help="a LoCoMo file (or PMCP_LOCOMO)")
    latency = commands.add_parser("latency", help="one recall with its embedding, at several sizes")
    latency.add_argument("--sizes", type=int, nargs="+", default=[1_000, 10_000, 100_000], help="memories of a player")
    latency.add_argument("--million", action="store_true", help="again with 1,000,000 rows in the table (minutes)")
    writes = commands.add_parser("writes", help="memories written a second, embedding included")
    writes.add_argument("--count", type=int, default=3_000, help="turns to write")
    saves = commands.add_parser("saves", help="saving and loading a player's world, at several sizes")
    saves.add_argument("--sizes", type=int, nargs="+", default=[1_000, 10_000, 100_000], help="memories of a player")
    asyncio.run(_run(parser.parse_args(), settings))


async def _run(options: argparse.Namespace, settings: BenchSettings) -> None:
    if options.command == "latency":
        await run_latency(settings.data_dir, options.sizes, million=options.million)
    elif options.command == "writes":
        await run_writes(settings.data_dir, options.count)
    elif options.command == "saves":
        await run_saves(settings.data_dir, options.sizes)
    elif options.command == "parts":
        await run_parts(_existing(options.data), settings.data_dir)
    else:
        data = _existing(options.data)
        await run_quality(data, settings.data_dir, baselines=not options.no_baselines, adversarial=options.adversarial)


def _existing(path: Path | None) -> Path | None:
    return path if path and path.is_file() else None


if __name__ == "__main__":
    main()
