"""How good a ranking is, question by question, and the tables that say so. Pure.

Evidence recall@k: the share of a question's evidence turns among the first k. hit@10: any of them among the first ten.
MRR: one over the rank of the first. nDCG@10 with binary gain (Järvelin & Kekäläinen 2002). Session any@5: an evidence
session among the sessions of the first five turns, and among the first five sessions in the order of their best turn.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import astuple, dataclass, fields

from bench.memory.dialogues import CATEGORIES


@dataclass(frozen=True, slots=True)
class Measured:
    """Of one question or, as a mean, of many; all 0..1."""

    recall_5: float
    recall_10: float
    recall_20: float
    hit_10: float
    mrr: float
    ndcg_10: float
    session_of_5_turns: float
    session_of_5_sessions: float


COLUMNS = ("R@5", "R@10", "R@20", "hit@10", "MRR", "nDCG@10", "session any@5 turns", "session any@5 sessions")


@dataclass(frozen=True, slots=True)
class Outcome:
    dialogue: str
    category: int
    measured: Measured


def measure(ranking: Sequence[str], evidence: AbstractSet[str], session_of: Mapping[str, object]) -> Measured:
    """`ranking`: turn ids, best first."""
    ranks = [rank for rank, turn in enumerate(ranking) if turn in evidence]
    gain = math.fsum(1 / math.log2(rank + 2) for rank in ranks if rank < 10)
    ideal = math.fsum(1 / math.log2(rank + 2) for rank in range(min(len(evidence), 10)))
    wanted = {session_of[turn] for turn in evidence}
    sessions = list(dict.fromkeys(session_of[turn] for turn in ranking))
    recall_5, recall_10, recall_20 = (sum(rank < k for rank in ranks) / len(evidence) for k in (5, 10, 20))
    return Measured(
        recall_5=recall_5,
        recall_10=recall_10,
        recall_20=recall_20,
        hit_10=float(bool(ranks) and ranks[0] < 10),
        mrr=1 / (ranks[0] + 1) if ranks else 0.0,
        ndcg_10=gain / ideal,
        session_of_5_turns=float(bool(wanted & {session_of[turn] for turn in ranking[:5]})),
        session_of_5_sessions=float(bool(wanted & set(sessions[:5]))),
    )


def mean(outcomes: Sequence[Outcome]) -> Measured:
    columns = zip(*(astuple(outcome.measured) for outcome in outcomes), strict=True)
    return Measured(*(math.fsum(column) / len(outcomes) for column in columns))


def overall_table(rows: Mapping[str, Sequence[Outcome]]) -> str:
    """One row a system, categories 1-4 together."""
    lines = [f"| | {' | '.join(COLUMNS)} |", "|---|" + "---|" * len(fields(Measured))]
    for name, outcomes in rows.items():
        values = astuple(mean([outcome for outcome in outcomes if outcome.category != 5]))
        lines.append(f"| {name} | {' | '.join(f'{value:.3f}' for value in values)} |")
    return "\n".join(lines)


def category_table(outcomes: Sequence[Outcome]) -> str:
    """R@5 / R@10 / hit@10 by category."""
    lines = ["| category | questions | R@5 | R@10 | hit@10 |", "|---|---|---|---|---|"]
    for number, name in CATEGORIES.items():
        of_category = [outcome for outcome in outcomes if outcome.category == number]
        if of_category:
            one = mean(of_category)
            lines.append(
                f"| {name} | {len(of_category)} | {one.recall_5:.3f} | {one.recall_10:.3f} | {one.hit_10:.3f} |"
            )
    return "\n".join(lines)


def dialogue_line(outcomes: Sequence[Outcome]) -> str:
    """R@10 of each dialogue: a mean that one dialogue carries shows here."""
    names = dict.fromkeys(outcome.dialogue for outcome in outcomes)
    parts = []
    for name in names:
        one = mean([outcome for outcome in outcomes if outcome.dialogue == name and outcome.category != 5])
        parts.append(f"{name} {one.recall_10:.3f}")
    return "R@10 by dialogue: " + ", ".join(parts)


def interval_line(outcomes: Sequence[Outcome]) -> str:
    """Of the mean R@10: what other questions of the same kind may have given."""
    recalls = [outcome.measured.recall_10 for outcome in outcomes if outcome.category != 5]
    half = 1.96 * statistics.stdev(recalls) / math.sqrt(len(recalls))
    return f"95 % interval of R@10: ± {half:.3f}"
