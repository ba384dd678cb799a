"""What fault tests measured, against what was promised, and the table of it. Pure, but for one file.

Above it: `tests/faults`, `bench.soak.report`. Rule: a figure is kept with its bound, and with every sample's number.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import orjson

from bench.soak.figures import Cost, nearest_rank


@dataclass(frozen=True, slots=True)
class Measured:
    fault: str
    """Of the design's table: F1 to F12."""
    what: str
    samples: tuple[float, ...]
    unit: str = "s"
    bound: float | None = None
    share: float = 1.0
    """Of the samples that must be within the bound: 0.95 means the 95th percentile."""

    @property
    def decisive(self) -> float:
        """The sample that is held against the bound."""
        return nearest_rank(sorted(self.samples), self.share)


@dataclass(frozen=True, slots=True)
class Findings:
    measured: tuple[Measured, ...] = ()
    costs: tuple[Cost, ...] = ()
    streams: int = 0
    violations: int = 0


def write(path: Path, findings: Findings) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(orjson.dumps(asdict(findings), option=orjson.OPT_INDENT_2))


def read(path: Path) -> Findings:
    document = orjson.loads(path.read_bytes())
    return Findings(
        tuple(Measured(**(row | {"samples": tuple(row["samples"])})) for row in document["measured"]),
        tuple(Cost(**row) for row in document["costs"]),
        document["streams"],
        document["violations"],
    )


def merged(parts: Iterable[Measured]) -> list[Measured]:
    """Samples of the same thing, from several tests, together; in the order of the faults' numbers."""
    found: dict[tuple[str, str], Measured] = {}
    for one in parts:
        key = (one.fault, one.what)
        before = found[key].samples if key in found else ()
        found[key] = Measured(one.fault, one.what, (*before, *one.samples), one.unit, one.bound, one.share)
    return sorted(found.values(), key=lambda one: (len(one.fault), one.fault))


def table(parts: Iterable[Measured]) -> list[str]:
    rows = [
        "| Fault | Measured | Samples | p50 | p95 | Longest | Promised |",
        "|---|---|---|---|---|---|---|",
    ]
    return [*rows, *(_row(one) for one in merged(parts))]


def _row(one: Measured) -> str:
    ordered = sorted(one.samples)
    figures = " | ".join(shown(nearest_rank(ordered, share), one.unit) for share in (0.5, 0.95, 1.0))
    bound = "" if one.bound is None else f"{'p95 ' if one.share < 1 else ''}≤ {shown(one.bound, one.unit)}"
    return f"| {one.fault} | {one.what} | {len(ordered)} | {figures} | {bound} |"


def shown(value: float, unit: str) -> str:
    if unit == "s":
        return f"{value * 1000:.0f} ms" if value < 1 else f"{value:.1f} s"
    return f"{value:.0f} {unit}"


def lines(parts: Sequence[Measured]) -> list[str]:
    """For a terminal."""
    return [
        f"{one.fault:4} {one.what}: p50 {shown(nearest_rank(sorted(one.samples), 0.5), one.unit)},"
        f" longest {shown(max(one.samples), one.unit)} of {len(one.samples)}"
        for one in merged(parts)
    ]
