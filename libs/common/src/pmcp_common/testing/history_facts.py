"""A history folded into what the rules ask for: views of streams, requests, rows, calls, owners of markers. Pure.

Above it: `history_checker`. Rule: one pass, and only the order of entries of one client matters, so that the files of
several recorders can be read one after the other.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

from pmcp_common.testing.history_entries import (
    ClientLeft,
    EndSeen,
    Entry,
    EventHeld,
    FaultDone,
    FrameSeen,
    MarkerPlanted,
    ModelCall,
    RequestAccepted,
    RequestRefused,
    RequestSent,
    RowHeld,
    SectionHeld,
    StreamResumed,
    TextShown,
)
from pmcp_common.testing.history_views import Fault, StreamView

MARKER = re.compile(r"\[\[[^\[\]\n]{1,64}\]\]")
Owner = tuple[str, str]
"""Tenant and player."""
RequestKey = tuple[str, str]
"""Client and request."""


def marker_text(marker: str) -> str:
    """Markers may be named with or without their brackets."""
    return marker if marker.startswith("[[") else f"[[{marker}]]"


@dataclass(slots=True)
class Facts:
    sent: dict[RequestKey, RequestSent] = field(default_factory=dict)
    accepted: dict[RequestKey, list[RequestAccepted]] = field(default_factory=lambda: defaultdict(list))
    refused: dict[RequestKey, RequestRefused] = field(default_factory=dict)
    left: set[str] = field(default_factory=set)
    identities: dict[str, set[Owner]] = field(default_factory=lambda: defaultdict(set))
    owners: dict[str, set[Owner]] = field(default_factory=lambda: defaultdict(set))
    """Marker → who may see it."""
    views: dict[tuple[str, str], StreamView] = field(default_factory=lambda: defaultdict(StreamView))
    """(client, stream)"""
    held: dict[str, dict[str, StreamView]] = field(default_factory=lambda: defaultdict(dict))
    """Stream → epoch → as Redis held it in that life of its data."""
    rows: list[RowHeld] = field(default_factory=list)
    rows_by_id: dict[str, list[RowHeld]] = field(default_factory=lambda: defaultdict(list))
    rows_by_marker: dict[tuple[str, str], list[RowHeld]] = field(default_factory=lambda: defaultdict(list))
    """(role, first marker in the content)"""
    calls: dict[str, list[ModelCall]] = field(default_factory=lambda: defaultdict(list))
    shown: list[TextShown] = field(default_factory=list)
    faults: list[FaultDone] = field(default_factory=list)
    sections: set[str] = field(default_factory=set)
    frames: int = 0

    def take(self, entry: Entry) -> Iterator[tuple[str, Fault]]:
        """Folds one entry in; yields (stream, fault) for what is wrong with its place in its stream."""
        match entry:
            case FrameSeen():
                self.frames += 1
                view = self.views[entry.client, entry.stream]
                yield from ((entry.stream, fault) for fault in view.take_frame(entry))
            case EndSeen():
                view = self.views[entry.client, entry.stream]
                yield from ((entry.stream, fault) for fault in view.take_end(entry))
            case StreamResumed():
                self.views[entry.client, entry.stream].take_resume(entry)
            case EventHeld():
                yield from ((entry.stream, fault) for fault in self._take_event(entry))
            case RequestSent() | RequestAccepted() | RequestRefused() | ClientLeft():
                self._take_request(entry)
            case _:
                self._take_held(entry)

    def _take_request(self, entry: RequestSent | RequestAccepted | RequestRefused | ClientLeft) -> None:
        match entry:
            case RequestSent():
                owner = (entry.tenant, entry.player)
                self.sent[entry.client, entry.request] = entry
                self.identities[entry.client].add(owner)
                self.owners[marker_text(entry.marker)].add(owner)
            case RequestAccepted():
                self.accepted[entry.client, entry.request].append(entry)
            case RequestRefused():
                self.refused[entry.client, entry.request] = entry
            case ClientLeft():
                self.left.add(entry.client)

    def _take_held(self, entry: Entry) -> None:
        match entry:
            case RowHeld():
                self.rows.append(entry)
                self.rows_by_id[entry.message_id].append(entry)
                if found := MARKER.search(entry.content):
                    self.rows_by_marker[entry.role, found.group()].append(entry)
            case ModelCall():
                self.calls[marker_text(entry.marker)].append(entry)
            case MarkerPlanted():
                self.owners[marker_text(entry.marker)].add((entry.tenant, entry.player))
            case TextShown():
                self.shown.append(entry)
            case FaultDone():
                self.faults.append(entry)
            case SectionHeld():
                self.sections.add(entry.section)
            case _:
                pass  # closed sockets and cancels explain a history; no rule asks for them

    def _take_event(self, event: EventHeld) -> Iterator[Fault]:
        view = self.held[event.stream].setdefault(event.epoch, StreamView())
        view.begin_at(event.seq)
        at, whole = 0.0, (event.stream, event.epoch)
        if event.state is None:
            yield from view.take_frame(FrameSeen(at, "", *whole, event.seq, event.seq, event.text))
        else:
            end = EndSeen(at, "", *whole, event.seq, event.state, "", event.sha256, text=event.text)
            yield from view.take_end(end)

    def acceptances(self) -> Iterator[tuple[RequestSent | None, RequestAccepted]]:
        """Each accepted request once per stream it was accepted as."""
        for key, several in self.accepted.items():
            for one in {accepted.stream: accepted for accepted in reversed(several)}.values():
                yield self.sent.get(key), one

    def foreign_markers(self, viewers: set[Owner], text: str) -> list[str]:
        """Markers in `text` that none of `viewers` may see. A marker nobody owns is no one's secret."""
        return [
            marker
            for marker in dict.fromkeys(MARKER.findall(text))
            if (owners := self.owners.get(marker)) and not owners & viewers
        ]
