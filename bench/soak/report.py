"""The soak's result as a table for people (markdown) and as JSON with every figure. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from bench.soak import measured
from bench.soak.figures import MONTHLY_BUDGET_SECONDS, Cost
from bench.soak.measured import Findings
from pmcp_common.testing.history_checker import Report


@dataclass(frozen=True, slots=True)
class Failed:
    """A stream that ended as failed, and the faults it went through."""

    finish_reason: str
    faults: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Run:
    command: str
    """What makes the same run again."""
    seed: int
    minutes: float
    clients: int
    streams_in_faults: int
    """Streams that were going on during a fault."""
    resumes: tuple[float, ...]
    """Seconds from a lost socket to the stream's next frame, ascending."""
    states: dict[str, int]
    gave_up: int
    library_gave_up: tuple[str, ...] = ()
    """What `pmcp_client` told applications that they shall never see."""
    failed: tuple[Failed, ...] = ()
    accepted: dict[str, int] = field(default_factory=dict)
    """Streams by their durability."""


BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"


def with_report(page: str, text: str) -> str:
    """The page with this between its two marks. Raises ValueError when it has none."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the page has no marks {BEGIN} and {END}")
    return f"{before}{BEGIN}\n\n{text.strip()}\n\n{END}{after}"


def run_of(document: dict[str, Any]) -> Run:
    """Of an earlier `document`. Raises TypeError, KeyError when it is of another version."""
    fields = dict(document["run"])
    fields["resumes"], fields["library_gave_up"] = tuple(fields["resumes"]), tuple(fields["library_gave_up"])
    fields["failed"] = tuple(Failed(one["finish_reason"], tuple(one["faults"])) for one in fields["failed"])
    return Run(**fields)


def markdown(run: Run, report: Report, table: Sequence[Cost], findings: Findings | None = None) -> str:
    summary = report.summary
    lines = [
        "```",
        run.command,
        "```",
        "",
        f"Seed {run.seed}, {run.minutes:.1f} minutes, {run.clients} clients at a time.",
        "",
        f"**{sum(summary.violations.values())} violations in {summary.streams} streams**, of which"
        f" {run.streams_in_faults} were going on during one of the {summary.faults} faults;"
        f" {summary.frames} frames were checked.",
    ]
    if summary.upper_bound is not None:
        lines.append(f"So the share of harmed streams is below {summary.upper_bound:.3%} at 95 % confidence (3/n).")
    lines += ["", *_ends(run)]
    if run.resumes:
        p50, p95, longest = (run.resumes[min(len(run.resumes) - 1, int(len(run.resumes) * s))] for s in (0.5, 0.95, 1))
        lines.append(
            f"Sockets lost in mid-stream: {len(run.resumes)}; back on the stream after {p50 * 1000:.0f} ms (p50),"
            f" {p95 * 1000:.0f} ms (p95), {longest:.1f} s (longest)."
        )
    excused = (
        f"Excused by the checker, and counted: {summary.overlaps_excused} times a model server saw a second call while"
        " a fault (or the crossing of two connections, below 0.1 s) kept the first one from being hung up;"
        f" {summary.ends_excused} streams whose client was told that the resume window is over."
    )
    lines += ["", excused, "", "### Random faults: what each cost", "", *_table(table)]
    if findings is not None:
        lines += ["", *_of_fault_tests(findings)]
    return "\n".join([*lines, ""])


def _ends(run: Run) -> list[str]:
    lines = [
        f"Accepted as {' and '.join(f'{name}: {count}' for name, count in sorted(run.accepted.items())) or 'nothing'}.",
        "Ends: " + ", ".join(f"{count} {state}" for state, count in sorted(run.states.items())) + ".",
        f"Gave up: {len(run.library_gave_up)} times the library, {run.gave_up} times a client's patience.",
    ]
    for reason, failed in _by_reason(run.failed):
        under = Counter(name for one in failed for name in one.faults or ("no fault",))
        names = ", ".join(f"{name} {count}" for name, count in under.most_common())
        lines.append(f"Failed with `{reason}`: {len(failed)}, under {names} (under several at once: counted for each).")
    return lines


def _by_reason(failed: Sequence[Failed]) -> list[tuple[str, list[Failed]]]:
    reasons = Counter(one.finish_reason for one in failed)
    return [(reason, [one for one in failed if one.finish_reason == reason]) for reason, _ in reasons.most_common()]


def _of_fault_tests(findings: Findings) -> list[str]:
    return [
        "### Each fault by itself: what was measured",
        "",
        f"{findings.violations} violations in {findings.streams} streams of the fault tests.",
        "",
        *measured.table(findings.measured),
        "",
        "### Each fault by itself: what it cost",
        "",
        *_table(findings.costs),
    ]


def _table(table: Sequence[Cost]) -> list[str]:
    rows = [
        "| Fault | Times | Lasted p50, s | Pause p50, s | Pause p95, s | Pause max, s |"
        " Nobody served, mean s | Max, s | Fit into 43 min 12 s |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for cost in table:
        often = cost.affordable_a_month
        rows.append(
            f"| {cost.name} | {cost.faults} | {cost.lasted_p50:.1f} | {cost.recovery_p50:.1f} |"
            f" {cost.recovery_p95:.1f} | {cost.recovery_max:.1f} | {cost.unavailable_mean:.1f} |"
            f" {cost.unavailable_max:.1f} | {'any number' if often is None else often} |"
        )
    return rows


def document(run: Run, report: Report, table: Sequence[Cost]) -> dict[str, Any]:
    """For `--json`."""
    summary = report.summary
    return {
        "run": asdict(run),
        "streams": summary.streams,
        "requests": summary.requests,
        "frames": summary.frames,
        "violations": {rule.value: count for rule, count in summary.violations.items()},
        "violated_streams": summary.violated_streams,
        "upper_bound": summary.upper_bound,
        "not_checked": {section: [rule.value for rule in rules] for section, rules in summary.not_checked.items()},
        "excused": {"overlapping_calls": summary.overlaps_excused, "expired_streams": summary.ends_excused},
        "evidence": [{"rule": v.rule.value, "stream": v.stream, "evidence": v.evidence} for v in report.violations],
        "budget_seconds_a_month": MONTHLY_BUDGET_SECONDS,
        "faults": [asdict(cost) for cost in table],
    }
