"""The rows of moods and of what moved them. Called with the persona held whenever something is written."""

from __future__ import annotations

from datetime import datetime

from pmcp_common.contracts.personas import Persona
from pmcp_common.contracts.relationships import Emotion, EmotionEvent
from pmcp_persona import emotion
from pmcp_persona.database import Rows
from pmcp_persona.emotion import BASELINE, Feelings

KEPT_EVENTS = 200
SHOWN_EVENTS = 20


async def read(rows: Rows, tenant: str, persona: Persona) -> Feelings:
    """As of its own `last_updated`; a persona nothing has moved yet is calm since it was made."""
    found = await rows.fetch("read_emotion", tenant, persona.id)
    if not found:
        return emotion.calm(persona.created_at)
    return Feelings(**{name: found[0][name] for name in (*BASELINE, "last_updated")})


async def is_told(rows: Rows, tenant: str, persona_id: str, cause_id: str) -> bool:
    return bool(await rows.fetch("find_emotion_event", tenant, persona_id, cause_id))


async def write(
    rows: Rows,
    tenant: str,
    persona_id: str,
    before: Feelings,
    after: Feelings,
    *,
    cause_id: str,
    cause: str,
    player_id: str | None,
    now: datetime,
) -> None:
    values = [getattr(after, name) for name in BASELINE]
    await rows.fetch("write_emotion", tenant, persona_id, *values, after.last_updated)
    moved = emotion.changes(before, after)
    await rows.fetch("insert_emotion_event", tenant, persona_id, cause_id, cause, player_id, now, moved)
    await rows.fetch("forget_emotion_events", tenant, persona_id, KEPT_EVENTS)


async def history(rows: Rows, tenant: str, persona_id: str, player_id: str | None) -> tuple[EmotionEvent, ...]:
    """The newest SHOWN_EVENTS, newest first; causes that belong to another player are left out of them."""
    found = await rows.fetch("list_emotion_events", tenant, persona_id, SHOWN_EVENTS)
    return tuple(
        EmotionEvent(
            cause_id=row["cause_id"] if row["player_id"] in (None, player_id) else None,
            cause=row["cause"],
            happened_at=row["happened_at"],
            changes=row["changes"],
        )
        for row in found
    )


def view(feelings: Feelings, persona_id: str, now: datetime, events: tuple[EmotionEvent, ...]) -> Emotion:
    """`feelings` as they are stored: their time is when something moved them last."""
    faded = emotion.fade(feelings, now)
    values = {name: round(getattr(faded, name), 6) for name in BASELINE}
    return Emotion(persona_id=persona_id, **values, last_updated=feelings.last_updated, history=events)
