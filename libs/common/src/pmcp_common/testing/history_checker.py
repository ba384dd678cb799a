"""The offline checker: a history in, every broken promise out, and the figure that follows. Pure.

Above it: fault tests, the soak, `docs/reliability.md`. The ten rules are `Rule`; those about one stream's course are
in `history_views`, those that compare streams, requests, rows and calls are here. Rule: what cannot be checked because
its section was not recorded is named in the report, never passed over as fine.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from pmcp_common.testing.history_entries import Entry, ModelCall, RequestAccepted, RequestSent, RowHeld
from pmcp_common.testing.history_facts import Facts, marker_text
from pmcp_common.testing.history_order import order_faults
from pmcp_common.testing.history_views import Rule, StreamView, clipped

MAX_KEPT = 1_000
"""Violations kept per rule; all are counted."""
HANGUP_SECONDS = 1.0
"""How long after a pause or a silence a process may take to close its model connection."""
CROSSING_SECONDS = 0.1
"""A hang-up and the next call travel on two connections: which one the model server sees first is chance."""
CONFIDENCE_FACTOR = 3.0
"""Rule of three: 0 events in n trials bound the rate below 3/n at 95 %."""
NEEDS = {
    "rows": (Rule.HASH_EQUAL, Rule.ONE_ROW_PER_KEY, Rule.TURNS_IN_ORDER, Rule.ACKNOWLEDGED_SURVIVES),
    "events": (Rule.ACKNOWLEDGED_SURVIVES,),
    "calls": (Rule.ONE_MODEL_CALL,),
}

__all__ = ["Report", "Rule", "Summary", "Violation", "check", "examine"]


@dataclass(frozen=True, slots=True)
class Violation:
    rule: Rule
    stream: str
    """Empty when it belongs to no stream."""
    evidence: str


@dataclass(frozen=True, slots=True)
class Summary:
    requests: int
    streams: int
    """Accepted: the n of the figure."""
    frames: int
    faults: int
    violations: dict[Rule, int]
    violated_streams: int
    not_checked: dict[str, tuple[Rule, ...]]
    """Section that was not recorded → rules that are only partly checked without it."""
    overlaps_excused: int
    """Second live model calls while a fault kept the first one's process from hanging up, or a hang-up's way long."""
    ends_excused: int
    """Streams without an end whose client was told that the resume window is over."""

    @property
    def upper_bound(self) -> float | None:
        """Of the share of violated streams, at 95 %. None: there are violations, or not all was tried and checked."""
        if self.streams == 0 or self.not_checked or any(self.violations.values()):
            return None
        return min(1.0, CONFIDENCE_FACTOR / self.streams)

    def text(self) -> str:
        """A few lines for people."""
        total = sum(self.violations.values())
        lines = [f"{total} violations in {self.streams} streams ({self.frames} frames, {self.faults} faults)"]
        if self.upper_bound is not None:
            lines.append(f"so at most {self.upper_bound:.3%} of streams are harmed, at 95 % confidence (3/n)")
        lines += [f"  {count} times: {rule.value}" for rule, count in self.violations.items() if count]
        if total:
            lines.append(f"  {self.violated_streams} streams harmed")
        if self.overlaps_excused or self.ends_excused:
            lines.append(f"  excused: {self.overlaps_excused} overlapping calls, {self.ends_excused} expired streams")
        for section, rules in self.not_checked.items():
            lines.append(f"  no {section} recorded, only partly checked: " + "; ".join(rule.value for rule in rules))
        return "\n".join(lines)


@dataclass(frozen=True, slots=True)
class Report:
    violations: tuple[Violation, ...]
    """The first MAX_KEPT of each rule."""
    summary: Summary


def check(history: Iterable[Entry]) -> list[Violation]:
    return list(examine(history).violations)


def examine(history: Iterable[Entry]) -> Report:
    """Reads the history once; memory grows with the text of its streams, not with its frames' number of lines."""
    facts, found = Facts(), _Findings()
    for entry in history:
        for stream, (rule, evidence) in facts.take(entry):
            found.add(rule, stream, evidence)
    for violation in _across(facts):
        found.add(violation.rule, violation.stream, violation.evidence)
    excused = sum(1 for _, covered in _overlaps(facts) if covered)
    summary = Summary(
        requests=len(facts.sent),
        streams=len({accepted.stream for _, accepted in facts.acceptances()}),
        frames=facts.frames,
        faults=len(facts.faults),
        violations={rule: found.counts[rule] for rule in Rule},
        violated_streams=len(found.streams),
        not_checked={section: rules for section, rules in NEEDS.items() if section not in facts.sections},
        overlaps_excused=excused,
        ends_excused=sum(1 for view in facts.views.values() if view.end is None and view.told_of_expiry),
    )
    return Report(tuple(found.kept), summary)


@dataclass(slots=True)
class _Findings:
    kept: list[Violation] = field(default_factory=list)
    counts: Counter[Rule] = field(default_factory=Counter)
    streams: set[str] = field(default_factory=set)

    def add(self, rule: Rule, stream: str, evidence: str) -> None:
        self.counts[rule] += 1
        if stream:
            self.streams.add(stream)
        if self.counts[rule] <= MAX_KEPT:
            self.kept.append(Violation(rule, stream, evidence))


def _across(facts: Facts) -> Iterator[Violation]:
    yield from _one_terminal(facts)
    yield from _one_text(facts)
    yield from _rows_equal_text(facts)
    yield from _one_row_per_key(facts)
    yield from _no_foreign_text(facts)
    yield from _one_model_call(facts)
    for stream, evidence in order_faults(facts):
        yield Violation(Rule.TURNS_IN_ORDER, stream, evidence)
    yield from _acknowledged_survives(facts)


def _one_terminal(facts: Facts) -> Iterator[Violation]:
    for key, sent in facts.sent.items():
        if key not in facts.accepted and key not in facts.refused and sent.client not in facts.left:
            yield Violation(Rule.ONE_TERMINAL, "", f"request {sent.request} of {sent.client} was never answered")
    for request, accepted in facts.acceptances():
        yield from _ends_once(facts, request, accepted)


def _ends_once(facts: Facts, sent: RequestSent | None, accepted: RequestAccepted) -> Iterator[Violation]:
    view = facts.views.get((accepted.client, accepted.stream))
    end = view.end if view is not None else None
    refused = facts.refused.get((accepted.client, accepted.request))
    who = f"request {accepted.request} of {accepted.client}"
    if refused is not None and refused.at >= accepted.at:
        also = f", and with {end.state} at {end.seq}" if end is not None else ""
        yield Violation(Rule.ONE_TERMINAL, accepted.stream, f"{who} ended with bare error {refused.code}{also}")
    elif end is None:
        if accepted.client not in facts.left and not (view is not None and view.told_of_expiry):
            yield Violation(Rule.ONE_TERMINAL, accepted.stream, f"{who} was accepted and never ended")
    elif end.seq is None and (sent is None or sent.streaming):
        yield Violation(Rule.ONE_TERMINAL, accepted.stream, f"{who} ended without a position")


def _one_text(facts: Facts) -> Iterator[Violation]:
    """Two readers of one stream saw the same text, as far as both got."""
    first: dict[tuple[str, str | None], tuple[str, StreamView]] = {}
    for stream, lives in facts.held.items():
        for epoch, view in lives.items():
            if view.complete:
                first[stream, epoch] = ("Redis", view)
    for (client, stream), view in facts.views.items():
        if not view.complete or not view.text:
            continue
        name, other = first.setdefault((stream, view.epoch), (client, view))
        shorter, longer = sorted((view.text, other.text), key=len)
        if not longer.startswith(shorter):
            evidence = f"{client} saw {clipped(view.text)}, {name} has {clipped(other.text)}"
            yield Violation(Rule.NO_RETRACTION, stream, evidence)


def _rows_equal_text(facts: Facts) -> Iterator[Violation]:
    for _, accepted in facts.acceptances():
        view = facts.views.get((accepted.client, accepted.stream))
        if view is None or view.end is None or not view.complete:
            continue
        for row in facts.rows_by_id.get(accepted.message_id or view.end.message_id, ()):
            # A cancelled or failed reply may be remembered as far as it was heard, and no further.
            fits = row.content == view.text if view.end.state == "done" else view.text.startswith(row.content)
            if not fits:
                evidence = f"row {row.message_id} holds {clipped(row.content)}, shown was {clipped(view.text)}"
                yield Violation(Rule.HASH_EQUAL, accepted.stream, evidence)


def _one_row_per_key(facts: Facts) -> Iterator[Violation]:
    groups: dict[tuple[str, ...], list[tuple[RequestSent, RequestAccepted]]] = defaultdict(list)
    uses: dict[str, set[tuple[str, ...]]] = defaultdict(set)
    for sent, accepted in facts.acceptances():
        if sent is not None:
            key = _key(sent)
            groups[key].append((sent, accepted))
            uses[marker_text(sent.marker)].add(key)
    for key, members in groups.items():
        for what, values in (
            ("streams", {accepted.stream for _, accepted in members}),
            ("replies", {accepted.message_id for _, accepted in members}),
            ("messages", {sent.marker for sent, _ in members}),
        ):
            if len(values) > 1:
                evidence = f"key {key[-1]} stands for {len(values)} {what}: {clipped(', '.join(sorted(values)))}"
                yield Violation(Rule.ONE_ROW_PER_KEY, members[0][1].stream, evidence)
    streams = {accepted.message_id: accepted.stream for _, accepted in facts.acceptances()}
    for message_id, rows in facts.rows_by_id.items():
        if len(rows) > 1:
            evidence = f"{len(rows)} rows with message id {message_id}"
            yield Violation(Rule.ONE_ROW_PER_KEY, streams.get(message_id, ""), evidence)
    for (role, marker), rows in facts.rows_by_marker.items():
        ids = {row.message_id for row in rows}
        if marker in facts.owners and len(ids) > max(1, len(uses[marker])):
            evidence = f"{len(ids)} {role} rows for the one message {marker}"
            known = (streams[one] for one in sorted(ids) if one in streams)
            yield Violation(Rule.ONE_ROW_PER_KEY, next(known, ""), evidence)


def _key(sent: RequestSent) -> tuple[str, ...]:
    if sent.idempotency_key is None:
        return (sent.tenant, sent.client, "", sent.request)
    return (sent.tenant, sent.principal, sent.idempotency_key)


def _no_foreign_text(facts: Facts) -> Iterator[Violation]:
    for (client, stream), view in facts.views.items():
        viewers = facts.identities.get(client, set())
        for marker in facts.foreign_markers(viewers, view.all_text()):
            yield Violation(Rule.NO_FOREIGN_TEXT, stream, f"{client} saw {marker}")
    for row in facts.rows:
        yield from _foreign(facts, row.tenant, row.player, f"row {row.message_id}", row.content)
    for shown in facts.shown:
        yield from _foreign(facts, shown.tenant, shown.player, shown.where, shown.text)
    for marker, calls in facts.calls.items():
        owners = facts.owners.get(marker, set())
        for foreign in facts.foreign_markers(owners, "".join(marker_text(m) for c in calls for m in c.prompt_markers)):
            if owners:
                yield Violation(Rule.NO_FOREIGN_TEXT, "", f"the prompt of {marker} holds {foreign}")
    yield from _no_foreign_stream(facts)


def _foreign(facts: Facts, tenant: str, player: str, where: str, text: str) -> Iterator[Violation]:
    for marker in facts.foreign_markers({(tenant, player)}, text):
        yield Violation(Rule.NO_FOREIGN_TEXT, "", f"{where} of {tenant}/{player} holds {marker}")


def _no_foreign_stream(facts: Facts) -> Iterator[Violation]:
    owners: dict[str, set[tuple[str, str]]] = defaultdict(set)
    for sent, accepted in facts.acceptances():
        if sent is not None:
            owners[accepted.stream].add((sent.tenant, sent.player))
    for stream, several in owners.items():
        if len(several) > 1:
            yield Violation(Rule.NO_FOREIGN_TEXT, stream, f"accepted for {sorted(several)}")
    for stream, lives in facts.held.items():
        text = "\n".join(view.all_text() for view in lives.values())
        for marker in facts.foreign_markers(owners[stream], text) if owners.get(stream) else ():
            yield Violation(Rule.NO_FOREIGN_TEXT, stream, f"Redis holds {marker} in a stream of {owners[stream]}")
    for (client, stream), view in facts.views.items():
        if (view.text or view.end) and owners.get(stream) and not owners[stream] & facts.identities.get(client, set()):
            yield Violation(Rule.NO_FOREIGN_TEXT, stream, f"{client} reads a stream of {sorted(owners[stream])}")


def _one_model_call(facts: Facts) -> Iterator[Violation]:
    streams = {marker_text(sent.marker): accepted.stream for sent, accepted in facts.acceptances() if sent is not None}
    for (marker, start, end), covered in _overlaps(facts):
        if not covered:
            evidence = f"two live calls for {marker} from {start:.3f} to {end:.3f} s"
            yield Violation(Rule.ONE_MODEL_CALL, streams.get(marker, ""), evidence)


def _overlaps(facts: Facts) -> Iterator[tuple[tuple[str, float, float], bool]]:
    """Times with two live calls of one job, and whether a fault explains all of that time."""
    jobs: dict[str, set[str]] = defaultdict(set)
    for sent, accepted in facts.acceptances():
        if sent is not None:
            jobs[marker_text(sent.marker)].add(accepted.stream)
    for marker, calls in facts.calls.items():
        if len(jobs[marker]) > 1:
            continue  # one text sent as several messages: its calls cannot be told apart
        latest = float("-inf")
        for call in sorted(calls, key=lambda call: call.started):
            end = _ended(call)
            if call.started < latest:
                overlap = (call.started, min(latest, end))
                crossed = overlap[1] - overlap[0] < CROSSING_SECONDS
                yield (marker, *overlap), crossed or _hidden(facts, *overlap)
            latest = max(latest, end)


def _ended(call: ModelCall) -> float:
    return float("inf") if call.ended is None else call.ended


def _hidden(facts: Facts, start: float, end: float) -> bool:
    return any(
        fault.hides_hangup and fault.at <= start and end <= fault.until + HANGUP_SECONDS for fault in facts.faults
    )


def _acknowledged_survives(facts: Facts) -> Iterator[Violation]:
    for sent, accepted in facts.acceptances():
        view = facts.views.get((accepted.client, accepted.stream))
        for evidence in _lost(facts, sent, accepted, view, facts.held.get(accepted.stream, {})):
            yield Violation(Rule.ACKNOWLEDGED_SURVIVES, accepted.stream, evidence)


def _lost(
    facts: Facts,
    sent: RequestSent | None,
    accepted: RequestAccepted,
    view: StreamView | None,
    lives: dict[str, StreamView],
) -> Iterator[str]:
    end = view.end if view is not None else None
    rows: list[RowHeld] = facts.rows_by_id.get(accepted.message_id, [])
    durable = accepted.durability == "durable"
    # An end in any life of the data: what is held without one was lost in mid-stream and never taken up again.
    ended = end is not None or any(one.end is not None for one in lives.values())
    if {"rows", "events"} <= facts.sections and durable and not ended and not rows:
        yield f"{accepted.message_id} was accepted as durable, and no row or end is left of it"
    held = lives.get(view.epoch or "") if view is not None else None
    if view is not None and held is not None and held.complete and held.head < view.head:
        yield f"{view.head} positions were shown, Redis holds {held.head}"
    if "rows" not in facts.sections or end is None:
        return
    # A canned line is not kept, only what it answers; any other whole reply that was accepted as durable must be,
    # sooner or later.
    canned = end.finish_reason == "fallback"
    if end.persisted or (durable and end.state == "done" and not canned):
        if not rows and not canned:
            yield f"reply {accepted.message_id} ({end.state}, persisted={end.persisted}) has no row"
        if sent is not None and not facts.rows_by_marker.get(("user", marker_text(sent.marker))):
            yield f"the message {sent.marker} has no row, its reply was {end.state}"
