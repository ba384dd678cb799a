"""What each part of the score is worth, and whether its weight is more than luck.

Above it: `__main__`. Questions are recalled once; the reasons of a memory are its parts times their weights, so other
weights are tried on the same hundred candidates. "Left out": the weight set to 0. "Fitted": weights learned on all
dialogues but one by softmax regression, measured on that one, for each in turn; near the shipped figure, the shipped
weights owe nothing to the peculiarities of a dialogue.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bench.memory.dialogues import Dialogue, Query, read_first_person, read_locomo
from bench.memory.engine import Engine, running_engine, session_map
from bench.memory.measures import Outcome, mean, measure
from bench.memory.server import temporary_postgres
from bench.memory.vectors import DiskCachedEmbedder
from pmcp_common.contracts.memories import RecalledMemory
from pmcp_memory.embedding_minilm import open_minilm
from pmcp_memory.ranking import PARTS

Floats = npt.NDArray[np.float64]

FITTED = [name for name, weight in PARTS.items() if abs(weight) > 0.05]
"""The tie-breakers are equal in these dialogues."""
SHIPPED: Floats = np.array(list(PARTS.values()))
_STEPS, _RATE, _DECAY = 300, 0.1, 1e-3


@dataclass(frozen=True, slots=True)
class Case:
    """One question with its candidates."""

    dialogue: str
    category: int
    query: Query
    turns: Sequence[str]
    parts: Floats
    """[candidates, parts]"""
    sessions: Mapping[str, object]

    @property
    def relevant(self) -> Floats:
        return np.array([turn in self.query.evidence for turn in self.turns], float)


async def run_parts(locomo: Path | None, cache: Path) -> None:
    embedder = DiskCachedEmbedder(await asyncio.to_thread(open_minilm, cache), cache / "bench" / "vectors.sqlite")
    sets = {"first person": read_first_person()}
    if locomo is not None:
        sets["LoCoMo"] = read_locomo(locomo)
    for title, dialogues in sets.items():
        async with temporary_postgres() as dsn, running_engine(dsn, embedder) as engine:
            cases = await _collect(engine, dialogues)
        print(f"\n### {title}: {len(cases)} questions\n\n| weights | R@5 | R@10 | hit@10 |\n|---|---|---|---|")
        print(_row("as shipped", cases, partial(_same, SHIPPED)))
        for name in FITTED:
            left_out = np.where(np.array([part == name for part in PARTS]), 0.0, SHIPPED)
            print(_row(f"{name} left out", cases, partial(_same, left_out)))
        fitted = {one.id: fit([case for case in cases if case.dialogue != one.id]) for one in dialogues}
        print(_row("fitted on the other dialogues", cases, partial(_of_dialogue, fitted)), flush=True)
    await embedder.close()


def _same(weights: Floats, _case: Case) -> Floats:
    return weights


def _of_dialogue(weights: Mapping[str, Floats], case: Case) -> Floats:
    return weights[case.dialogue]


async def _collect(engine: Engine, dialogues: Sequence[Dialogue]) -> list[Case]:
    cases = []
    for dialogue in dialogues:
        await engine.learn(dialogue)
    await engine.analyse()
    for dialogue in dialogues:
        sessions = session_map(dialogue.turns)
        for query in dialogue.queries:
            if query.category == 5:
                continue
            found = await engine.ask(dialogue.id, query.text)
            prefix = f"{dialogue.id}:"
            turns = [memory.source_message_ids[0].removeprefix(prefix) for memory in found]
            parts = np.array([_parts_of(memory) for memory in found]).reshape(len(found), len(PARTS))
            cases.append(Case(dialogue.id, query.category, query, turns, parts, sessions))
    return cases


def _parts_of(memory: RecalledMemory) -> list[float]:
    return [memory.reasons.get(name, 0.0) / weight for name, weight in PARTS.items()]


def _row(name: str, cases: Sequence[Case], weights_of: Callable[[Case], Floats]) -> str:
    outcomes = []
    for case in cases:
        order = np.argsort(-(case.parts @ weights_of(case)), kind="stable")
        ranking = [case.turns[place] for place in order]
        outcomes.append(Outcome(case.dialogue, case.category, measure(ranking, case.query.evidence, case.sessions)))
    one = mean(outcomes)
    return f"| {name} | {one.recall_5:.3f} | {one.recall_10:.3f} | {one.hit_10:.3f} |"


def fit(cases: Sequence[Case]) -> Floats:
    """Weights that make the evidence likely among the candidates: softmax regression by Adam (Kingma & Ba 2015)."""
    usable = [case for case in cases if case.relevant.any()]
    parts = np.concatenate([case.parts for case in usable])
    starts = np.cumsum([0] + [len(case.turns) for case in usable[:-1]])
    group = np.repeat(np.arange(len(usable)), [len(case.turns) for case in usable])
    relevant = np.concatenate([case.relevant for case in usable])
    wanted = relevant / np.add.reduceat(relevant, starts)[group]
    learned = np.array([name in FITTED for name in PARTS], float)
    weights, mean_step, mean_square = SHIPPED.copy(), np.zeros(len(PARTS)), np.zeros(len(PARTS))
    for step in range(1, _STEPS + 1):
        scores = parts @ weights
        likely = np.exp(scores - np.maximum.reduceat(scores, starts)[group])
        likely /= np.add.reduceat(likely, starts)[group]
        slope = (parts.T @ (likely - wanted) / len(usable) + 2 * _DECAY * weights) * learned
        mean_step = 0.9 * mean_step + 0.1 * slope
        mean_square = 0.999 * mean_square + 0.001 * slope**2
        weights -= _RATE * (mean_step / (1 - 0.9**step)) / (np.sqrt(mean_square / (1 - 0.999**step)) + 1e-8)
    return weights
