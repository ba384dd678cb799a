"""`python -m bench.memory quality|latency|writes`: each starts its own PostgreSQL; only a cache stays behind."""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from bench.memory.quality import run_quality


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
    options = parser.parse_args()
    asyncio.run(
        run_quality(
            options.data if options.data and options.data.is_file() else None,
            settings.data_dir,
            baselines=not options.no_baselines,
            adversarial=options.adversarial,
        )
    )


if __name__ == "__main__":
    main()
