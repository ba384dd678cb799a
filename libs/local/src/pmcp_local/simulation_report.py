"""A simulation's record as text: transcript and summary table. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from pmcp_local.scenario import Record, Spoken


def transcript(record: Record) -> Iterator[str]:
    for conversation in record.conversations:
        yield f"{' and '.join(conversation.participants)} talk about {conversation.topic}:"
        for turn in conversation.turns:
            score = "" if turn.score is None else f" [{turn.score:.0f}, {turn.routing}]"
            yield f"  {turn.speaker}{score}: {turn.content.strip()}"
        yield ""


def summary(record: Record) -> Iterator[str]:
    yield (
        f"{record.scenario.name}: {len(record.conversations)} conversations, {len(record.turns)} turns in"
        f" {record.seconds:.0f} s (seed {record.scenario.seed})"
    )
    yield ""
    yield from _table(
        ("conversation", "topic", "turns", "tokens", "score", "ended by"),
        (
            (
                " and ".join(one.participants),
                one.topic,
                str(len(one.turns)),
                f"{one.tokens}/{one.token_budget}",
                _mean_score(one.turns),
                one.end,
            )
            for one in record.conversations
        ),
    )
    yield ""
    speakers = sorted({turn.speaker for turn in record.turns})
    by_speaker = {name: [turn for turn in record.turns if turn.speaker == name] for name in speakers}
    yield from _table(
        ("persona", "turns", "words", "tokens", "score", "s a reply"),
        (
            (
                name,
                str(len(turns)),
                str(sum(len(turn.content.split()) for turn in turns)),
                str(sum(turn.tokens for turn in turns)),
                _mean_score(turns),
                f"{sum(turn.seconds for turn in turns) / len(turns):.1f}",
            )
            for name, turns in by_speaker.items()
        ),
    )


def _mean_score(turns: Sequence[Spoken]) -> str:
    scores = [turn.score for turn in turns if turn.score is not None]
    return f"{sum(scores) / len(scores):.0f}" if scores else "-"


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    lines = [tuple(heads), *(tuple(row) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(heads))]
    for line in lines:
        yield "  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip()
