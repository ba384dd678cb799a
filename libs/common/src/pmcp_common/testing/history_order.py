"""The rule that turns of a conversation stay in order, from what was certainly before what. Pure.

Above it: `history_checker`. Rule: two messages are ordered only when the first was accepted before the second was
sent; messages on their way at the same time may be answered in either order.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from pmcp_common.testing.history_facts import Facts, marker_text


@dataclass(frozen=True, slots=True)
class _Turn:
    stream: str
    marker: str
    sent: float
    accepted: float
    ended: float | None
    asked: int | None
    """Position of the user's row; None: there is none."""
    answered: int | None
    """Position of the reply's row."""
    thought: float | None
    """Start of the first model call."""


def order_faults(facts: Facts) -> Iterator[tuple[str, str]]:
    """(stream, evidence) for each turn that stands before one it followed."""
    for turns in _conversations(facts).values():
        for turn in turns:
            if turn.asked is not None and turn.answered is not None and turn.answered < turn.asked:
                yield turn.stream, f"the reply to {turn.marker} stands before it"
        yield from _after(turns, "message", "accepted", "asked", "asked")
        yield from _after(turns, "reply", "accepted", "answered", "answered")
        yield from _after(turns, "message", "ended", "answered", "asked")
        yield from _after(turns, "model call", "accepted", "thought", "thought")


def _conversations(facts: Facts) -> dict[tuple[str, str], list[_Turn]]:
    found: dict[tuple[str, str], dict[str, _Turn]] = defaultdict(dict)
    for sent, accepted in facts.acceptances():
        if sent is None or not sent.conversation:
            continue
        marker = marker_text(sent.marker)
        view = facts.views.get((accepted.client, accepted.stream))
        turn = _Turn(
            stream=accepted.stream,
            marker=marker,
            sent=sent.at,
            accepted=accepted.at,
            ended=view.end.at if view is not None and view.end is not None else None,
            asked=min((row.position for row in facts.rows_by_marker.get(("user", marker), ())), default=None),
            answered=min((row.position for row in facts.rows_by_id.get(accepted.message_id, ())), default=None),
            thought=min((call.started for call in facts.calls.get(marker, ())), default=None),
        )
        known = found[sent.tenant, sent.conversation].get(accepted.stream)
        # Sent by several clients under one key: it is there since the first of them was accepted.
        if known is None or turn.accepted < known.accepted:
            found[sent.tenant, sent.conversation][accepted.stream] = turn
    return {key: list(turns.values()) for key, turns in found.items()}


def _after(turns: Iterable[_Turn], what: str, moment: str, place: str, own_place: str) -> Iterator[tuple[str, str]]:
    """Each turn's `own_place` is behind `place` of all turns whose `moment` was before it was sent."""
    earlier = sorted(
        (
            (getattr(t, moment), getattr(t, place), t)
            for t in turns
            if None not in (getattr(t, moment), getattr(t, place))
        ),
        key=lambda item: item[0],
    )
    index, last, behind = 0, float("-inf"), ""
    for turn in sorted(turns, key=lambda turn: turn.sent):
        while index < len(earlier) and earlier[index][0] < turn.sent:
            if earlier[index][1] > last:
                last, behind = earlier[index][1], earlier[index][2].marker
            index += 1
        own = getattr(turn, own_place)
        if own is not None and own < last:
            yield turn.stream, f"the {what} of {turn.marker} stands before that of {behind}, which was earlier"
