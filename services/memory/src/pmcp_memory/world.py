"""A player's world: the locks of whoever writes into it, and what forgetting takes out of its other moments.

Owns `world.sql`. Every function runs inside the caller's transaction.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from pmcp_common.postgres import read_queries
from pmcp_memory.recall_store import Viewer

_QUERIES = read_queries(files("pmcp_memory") / "world.sql")


@dataclass(frozen=True, slots=True)
class Words:
    """Of what is forgotten: messages, the conversations they were said in, and what they said."""

    message_ids: frozenset[str]
    threads: frozenset[str]
    texts: Sequence[str]


async def enter_world(connection: Any, tenant: str, player_id: str) -> None:
    """First of all in the transaction: no save's cut falls into it, and no load waits for a row of it."""
    await connection.execute(_QUERIES["enter_world"], tenant, player_id)


async def hold_world(connection: Any, tenant: str, player_id: str) -> None:
    """Alone."""
    await connection.execute(_QUERIES["hold_world"], tenant, player_id)


async def hold_memories(connection: Any, tenant: str, persona_id: str, player_id: str | None) -> None:
    """Of one player with one persona, alone among those that make such; the world is entered first."""
    await connection.execute(_QUERIES["hold_memories"], tenant, persona_id, player_id)


async def messages_elsewhere(connection: Any, viewer: Viewer, memory_id: str) -> tuple[set[str], set[str]]:
    """Messages that other versions of the memory were made of, and their conversations."""
    rows = await connection.fetch(_QUERIES["sources_of_versions"], *_owner(viewer), memory_id)
    return {row["message_id"] for row in rows}, {row["thread_id"] for row in rows}


async def forget_elsewhere(connection: Any, viewer: Viewer, memory_id: str, words: Words) -> Collection[str]:
    """Out of every other moment: no load brings any of it back. Messages that were not in the present world."""
    owner, messages, threads = _owner(viewer), sorted(words.message_ids), sorted(words.threads)
    await connection.execute(_QUERIES["forget_versions"], *owner, memory_id, messages)
    gone = await connection.fetch(_QUERIES["forget_turns_put_away"], viewer.tenant, viewer.player_id, messages)
    texts = [*words.texts, *(row["content"] for row in gone)]
    await connection.execute(_QUERIES["forget_echoes_put_away"], *owner, threads, texts)
    await connection.execute(_QUERIES["forget_saved_summaries"], *owner, threads)
    return {row["message_id"] for row in gone}


async def forget_everything(connection: Any, tenant: str, player_id: str) -> tuple[set[str], set[str]]:
    """All saves of a player and all that was put away: ids of messages and of memories."""
    turns = await connection.fetch(_QUERIES["forget_all_turns"], tenant, player_id)
    memories = await connection.fetch(_QUERIES["forget_all_memories"], tenant, player_id)
    await connection.execute(_QUERIES["forget_saves"], tenant, player_id)
    return {row["message_id"] for row in turns}, {row["id"] for row in memories}


def _owner(viewer: Viewer) -> tuple[str, str, str]:
    return viewer.tenant, viewer.persona_id, viewer.player_id
