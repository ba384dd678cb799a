"""Figures of a run, computed and printed: percentiles, overhead, CPU by process, the cost of one more token.

Above it: `bench.scenarios`, `bench.__main__`. Below it: nothing (stdlib only). Pure: no clock, process or file.
Rule: overhead is taken message by message (measured at the client, less what the model server itself took for
that very message), never as a difference of percentiles.
"""

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

RELAY_ROLES = ("worker", "gateway", "valkey")  # the processes both systems have: what a token must pass
SHARES = (("p50", 0.50), ("p95", 0.95), ("p99", 0.99))


@dataclass(frozen=True, slots=True)
class Cost:
    """One role's CPU within the window."""

    cpu_seconds: float
    rss_mb: float


@dataclass(frozen=True, slots=True)
class Window:
    """What was counted between the window's two ends."""

    seconds: float
    replies: int
    tokens: int


@dataclass(frozen=True, slots=True)
class Figures:
    """One setting on one system. All times in milliseconds, tokens as the model server sent them."""

    system: str
    setting: str
    replies_per_s: float
    tokens_per_s: float
    ttft_ms: Mapping[str, float]
    overhead_ms: Mapping[str, float]
    faults: Mapping[str, int]
    cpu_ms_per_s: Mapping[str, float]
    cpu_ms_per_reply: Mapping[str, float]
    cpu_us_per_token: Mapping[str, float]
    rss_mb: Mapping[str, float]
    timings_ms: Mapping[str, Mapping[str, float]] = field(default_factory=dict)


def percentiles(values: Iterable[float]) -> dict[str, float]:
    """Nearest rank; empty for no values."""
    ordered = sorted(values)
    if not ordered:
        return {}
    last = len(ordered) - 1
    return {name: round(ordered[min(last, int(len(ordered) * share))], 2) for name, share in SHARES}


def overheads(samples: Iterable[tuple[str, float, float]], own_ttft_ms: Mapping[str, float]) -> list[float]:
    """First-token time less the server's own, for each message the server knows."""
    return [first - own_ttft_ms[marker] for marker, first, _ in samples if marker in own_ttft_ms]


def per_unit(costs: Mapping[str, Cost], units: float, scale: float) -> dict[str, float]:
    if units <= 0:
        return {}
    return {role: round(cost.cpu_seconds * scale / units, 3) for role, cost in costs.items()}


def make_figures(
    system: str,
    setting: str,
    result: Mapping[str, Any],
    own_ttft_ms: Mapping[str, float],
    window: Window,
    costs: Mapping[str, Cost],
) -> Figures:
    samples = [(str(marker), float(first), float(total)) for marker, first, total in result["samples"]]
    over = overheads(samples, own_ttft_ms)
    faults = {name: int(result[name]) for name in ("wrong_markers", "torn", "stuck", "degraded")}
    faults["unmatched"] = len(samples) - len(over)
    return Figures(
        system=system,
        setting=setting,
        replies_per_s=round(window.replies / window.seconds, 1),
        tokens_per_s=round(window.tokens / window.seconds, 1),
        ttft_ms=percentiles(first for _, first, _ in samples),
        overhead_ms=percentiles(over),
        faults={**faults, **{f"error: {name}": count for name, count in result["errors"].items()}},
        cpu_ms_per_s=per_unit(costs, window.seconds, 1e3),
        cpu_ms_per_reply=per_unit(costs, window.replies, 1e3),
        cpu_us_per_token=per_unit(costs, window.tokens, 1e6),
        rss_mb={role: round(cost.rss_mb, 1) for role, cost in costs.items()},
        timings_ms={name: percentiles(values) for name, values in result.get("timings", {}).items()},
    )


def median_of(runs: Sequence[Figures]) -> Figures:
    """Field by field the median; of faults the sum, because none may hide."""
    first = runs[0]
    faults: dict[str, int] = {}
    for run in runs:
        for name, count in run.faults.items():
            faults[name] = faults.get(name, 0) + count

    def middle(name: str) -> dict[str, float]:
        return median_mapping([getattr(run, name) for run in runs])

    names = {name for run in runs for name in run.timings_ms}
    return Figures(
        system=first.system,
        setting=first.setting,
        replies_per_s=statistics.median(run.replies_per_s for run in runs),
        tokens_per_s=statistics.median(run.tokens_per_s for run in runs),
        ttft_ms=middle("ttft_ms"),
        overhead_ms=middle("overhead_ms"),
        faults=faults,
        cpu_ms_per_s=middle("cpu_ms_per_s"),
        cpu_ms_per_reply=middle("cpu_ms_per_reply"),
        cpu_us_per_token=middle("cpu_us_per_token"),
        rss_mb=middle("rss_mb"),
        timings_ms={name: median_mapping([run.timings_ms.get(name, {}) for run in runs]) for name in names},
    )


def median_mapping(mappings: Sequence[Mapping[str, float]]) -> dict[str, float]:
    keys = dict.fromkeys(key for mapping in mappings for key in mapping)
    return {key: round(statistics.median(mapping[key] for mapping in mappings if key in mapping), 3) for key in keys}


def token_slope(short: Figures, long: Figures) -> dict[str, float]:
    """CPU microseconds for one more relayed token by role, from two reply lengths at one request rate."""
    tokens = long.tokens_per_s - short.tokens_per_s
    if tokens <= 0:
        return {}
    slopes = {
        role: round((long.cpu_ms_per_s[role] - short.cpu_ms_per_s.get(role, 0.0)) * 1e3 / tokens, 2)
        for role in long.cpu_ms_per_s
    }
    slopes["relayed"] = round(sum(slopes.get(role, 0.0) for role in RELAY_ROLES), 2)
    return slopes


def render_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Plain text: first two columns to the left, figures to the right."""
    widths = [max(len(row[index]) for row in (header, *rows)) for index in range(len(header))]
    lines = []
    for row in (header, ["-" * width for width in widths], *rows):
        cells = [
            cell.ljust(width) if index < 2 else cell.rjust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def render_speed(all_figures: Sequence[Figures]) -> str:
    header = ("setting", "system", "replies/s", "tokens/s", "over p50", "p95", "p99", "errors", "wrong", "other")
    return render_table(header, [speed_row(figures) for figures in all_figures])


def speed_row(figures: Figures) -> list[str]:
    faults = figures.faults
    errors = sum(count for name, count in faults.items() if name.startswith("error: "))
    other = {name: faults.get(name, 0) for name in ("torn", "stuck", "degraded", "unmatched")}
    notes = ", ".join(f"{count} {name}" for name, count in other.items() if count) or "0"
    over = [number(figures.overhead_ms.get(name)) for name, _ in SHARES]
    rates = [f"{figures.replies_per_s:.1f}", f"{figures.tokens_per_s:,.0f}"]
    return [figures.setting, figures.system, *rates, *over, str(errors), str(faults["wrong_markers"]), notes]


def render_costs(all_figures: Sequence[Figures]) -> str:
    """CPU ms per reply / µs per token / MB, one column a role."""
    roles = list(dict.fromkeys(role for figures in all_figures for role in figures.rss_mb))
    rows = []
    for figures in all_figures:
        cells = [
            f"{number(figures.cpu_ms_per_reply.get(role))}/{number(figures.cpu_us_per_token.get(role))}"
            f"/{number(figures.rss_mb.get(role), 0)}"
            if role in figures.rss_mb
            else "-"
            for role in roles
        ]
        rows.append([figures.setting, figures.system, *cells])
    return render_table(["setting", "system", *roles], rows)


def render_timings(all_figures: Sequence[Figures]) -> str:
    """The path's own timings (job pick-up and so on), where terminal frames carry them; else empty."""
    rows = [
        [figures.setting, figures.system, name, *(number(values.get(share)) for share, _ in SHARES)]
        for figures in all_figures
        for name, values in sorted(figures.timings_ms.items())
    ]
    return render_table(["setting", "system", "timing", "p50", "p95", "p99"], rows) if rows else ""


def render_slopes(slopes: Mapping[str, Mapping[str, float]]) -> str:
    roles = list(dict.fromkeys(role for values in slopes.values() for role in values))
    rows = [["one more token", system, *(number(values.get(r)) for r in roles)] for system, values in slopes.items()]
    text = render_table(["µs CPU", "system", *roles], rows)
    relay, path = slopes.get("relay", {}).get("relayed"), slopes.get("path", {}).get("relayed")
    if relay and path:
        text += f"\npath / relay per relayed token (worker + gateway + valkey): {path / relay:.2f}"
    return text


def render_faults(all_figures: Sequence[Figures]) -> str:
    lines = [
        f"{figures.setting} {figures.system}: {count} x {name}"
        for figures in all_figures
        for name, count in figures.faults.items()
        if count
    ]
    return "\n".join(lines)


def number(value: float | None, decimals: int = 1) -> str:
    return "-" if value is None else f"{value:.{decimals}f}"
