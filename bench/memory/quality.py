"""Is the right memory found? Baselines and the engine on the same questions.

Above it: `__main__`. Prints Markdown: what docs/memory.md shows is this output.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import asyncpg

from bench.memory.baselines import Baselines
from bench.memory.dialogues import Dialogue, pool, read_first_person, read_locomo
from bench.memory.engine import Engine, running_engine, session_map
from bench.memory.long_messages import ask_at_the_end
from bench.memory.measures import Outcome, category_table, dialogue_line, interval_line, measure, overall_table
from bench.memory.recipe import Recipe
from bench.memory.server import temporary_postgres
from bench.memory.vectors import DiskCachedEmbedder
from pmcp_memory.embedding import Embedder
from pmcp_memory.embedding_minilm import open_minilm

RECIPE = "the recipe we began with"
LONG = ", asked at the end of 80 to 300 words"
ENGINE = "**ours: one SQL statement**"
POOLED = "**ours, all dialogues in one persona**"
NOT_GIVEN = "LoCoMo: skipped, no file is there (--data PATH or PMCP_LOCOMO). It is no part of this repository."
LICENCE = "LoCoMo (Maharana et al., ACL 2024, snap-research/LoCoMo) is licensed CC BY-NC 4.0."


async def run_quality(locomo: Path | None, cache: Path, *, baselines: bool, adversarial: bool) -> None:
    embedder = DiskCachedEmbedder(await asyncio.to_thread(open_minilm, cache), cache / "bench" / "vectors.sqlite")
    try:
        report = partial(_report, embedder=embedder, with_baselines=baselines, adversarial=adversarial)
        own = read_first_person()
        print(await report("First person (our own dialogues)", own, pooled=False))
        print(await report(f"First person{LONG}", ask_at_the_end(own), pooled=False, brief=True))
        if locomo is None:
            print(f"\n{NOT_GIVEN}")
        else:
            others = read_locomo(locomo)
            print(await report("LoCoMo", others, pooled=True))
            print(await report(f"LoCoMo{LONG}", ask_at_the_end(others), pooled=False, brief=True))
            print(f"\n{LICENCE}")
    finally:
        await embedder.close()


async def _report(
    title: str,
    dialogues: Sequence[Dialogue],
    embedder: Embedder,
    *,
    pooled: bool,
    with_baselines: bool,
    adversarial: bool,
    brief: bool = False,
) -> str:
    """`pooled`: also with all dialogues in one persona; without sense where the questions say "I". `brief`: without
    the tables by category and dialogue."""
    rows: dict[str, list[Outcome]] = {}
    async with temporary_postgres() as dsn:
        if with_baselines:
            await _measure_baselines(dsn, dialogues, embedder, rows)
        async with running_engine(dsn, embedder) as engine:
            await _measure_engine(engine, dialogues, rows, ENGINE)
            if pooled:
                await _measure_engine(engine, [pool(dialogues)], rows, POOLED)
    asked = sum(query.category != 5 for dialogue in dialogues for query in dialogue.queries)
    turns = sum(len(dialogue.turns) for dialogue in dialogues)
    own = [outcome for outcome in rows[ENGINE] if adversarial or outcome.category != 5]
    head = [f"\n### {title}: {len(dialogues)} dialogues, {turns} turns, {asked} questions\n", overall_table(rows)]
    lines = [dialogue_line(rows[ENGINE]), "", interval_line(rows[ENGINE])]
    details = [] if brief else ["", category_table(own), "", *lines]
    return "\n".join(head + details)


async def _measure_baselines(
    dsn: str, dialogues: Sequence[Dialogue], embedder: Embedder, rows: dict[str, list[Outcome]]
) -> None:
    connection = await asyncpg.connect(dsn)
    systems, recipe = Baselines(connection, embedder), Recipe(connection, embedder)
    for dialogue in dialogues:
        await systems.load(dialogue)
        await recipe.load(dialogue)
        sessions = session_map(dialogue.turns)
        for query in dialogue.queries:
            rankings = {**await systems.rank(query.text), RECIPE: await recipe.rank(query.text)}
            for name, ranking in rankings.items():
                outcome = Outcome(dialogue.id, query.category, measure(ranking, query.evidence, sessions))
                rows.setdefault(name, []).append(outcome)
    await connection.close()


async def _measure_engine(
    engine: Engine, dialogues: Sequence[Dialogue], rows: dict[str, list[Outcome]], name: str
) -> None:
    for dialogue in dialogues:
        await engine.learn(dialogue)
    await engine.analyse()
    for dialogue in dialogues:
        sessions = session_map(dialogue.turns)
        for query in dialogue.queries:
            ranking = await engine.rank(dialogue, query.text)
            outcome = Outcome(dialogue.id, query.category, measure(ranking, query.evidence, sessions))
            rows.setdefault(name, []).append(outcome)
