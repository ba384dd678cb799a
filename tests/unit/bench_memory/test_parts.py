"""Fitted weights find what tells evidence apart, and leave the tie-breakers alone."""

from __future__ import annotations

import numpy as np

from bench.memory.dialogues import Query
from bench.memory.parts import FITTED, SHIPPED, Case, fit
from pmcp_memory.ranking import PARTS


def case(seed: int, telling: int) -> Case:
    """Twenty candidates; the evidence is the one that is best in part number `telling`."""
    parts = np.random.default_rng(seed).random((20, len(PARTS)))
    turns = [f"t{place}" for place in range(20)]
    best = int(parts[:, telling].argmax())
    query = Query("?", frozenset({turns[best]}), 4)
    return Case("one", 4, query, turns, parts, dict.fromkeys(turns, 1))


def test_the_part_that_tells_gets_the_weight() -> None:
    names = list(PARTS)
    telling = names.index("nearby")
    weights = fit([case(seed, telling) for seed in range(40)])
    assert names[int(weights.argmax())] == "nearby"


def test_tie_breakers_keep_their_weights() -> None:
    weights = fit([case(seed, 0) for seed in range(5)])
    kept = [place for place, name in enumerate(PARTS) if name not in FITTED]
    assert kept
    assert np.array_equal(weights[kept], SHIPPED[kept])
