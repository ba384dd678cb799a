"""Every Redis key and channel name, in one place. Each carries the tenant; `{…}` is the hash tag of one job."""

from __future__ import annotations

import hashlib

RUNNING = "pmcp:jobs:running"
"""ZSET `tenant/job` → lease deadline in ms of Redis `TIME`."""
EPOCH = "pmcp:epoch"
"""Names this life of the Redis data: positions of another epoch mean nothing."""
RESTORED = f"{EPOCH}:restored"
"""STRING: the epoch in which all recorded jobs of earlier ones are queued again; with "?" before it while the keeper
looks for them. Whoever records a job of an epoch that is over deletes it. `submit.lua` builds the same name."""
CANCEL_CHANNEL = "pmcp:jobs:cancel"
"""Hints to workers: `tenant/job` was cancelled. The flag in the job is the truth."""
PERSONA_CHANNEL = "pmcp:personas:changed"
"""Hints: `tenant/persona` has a new version."""
REAPED = "pmcp:jobs:reaped"
"""When somebody last looked for ended leases, ms of Redis `TIME`."""
UNRECORDED = "pmcp:jobs:unrecorded"
SETTLED = "pmcp:jobs:settled"
"""ZSETs `tenant/job` of accepted jobs whose durable record has to be written, or taken away."""
INTERRUPTIONS = "pmcp:interruptions"
"""ZSET of replies whose socket was lost (JSON) → when to decide about them, ms of Redis `TIME`."""
LEDGER_LEASE = "pmcp:ledger:keeper"
"""STRING: the process that brings the record of accepted jobs up to date."""
SPOOL = "pmcp:spool:pg"
"""STREAM of turns owed to Postgres: while it is away, and of replies that no worker ended."""
SPOOL_OWED = f"{SPOOL}:owed"
"""HASH `tenant/conversation` → entries of the spool: what is said there meanwhile has to wait behind them."""
SPOOL_ENTRIES = 100_000
"""At most, about."""
SPOOL_REFUSED = f"{SPOOL}:refused"
"""STREAM of those the memory service does not take, with the reason: kept for an operator."""
SPOOL_TRIES = f"{SPOOL}:tries"
"""HASH entry of the spool → how often the service failed at it, and when first."""
SESSIONS_LEASE = "pmcp:sessions:keeper"
"""STRING: the gateway that ends what hangs on expired sessions."""
REPLY_QUEUE = "pmcp:q:reply"
REMEMBER_QUEUE = "pmcp:q:remember"
SUMMARY_QUEUE = "pmcp:q:summarise"
"""Apart from remembering: a slow model must not hold that up."""
LEARNING_QUEUE = "pmcp:q:learn"


def job(tenant: str, job_id: str) -> str:
    return f"pmcp:{{{tenant}/{job_id}}}:job"


def tokens(tenant: str, job_id: str) -> str:
    """STREAM of one generation's events, id `<seq>-0`."""
    return f"pmcp:{{{tenant}/{job_id}}}:tok"


def given_up(tenant: str, job_id: str) -> str:
    """STRING: a client was told that this lost job will not come back. Expires. `submit.lua` builds the same name."""
    return f"pmcp:{{{tenant}/{job_id}}}:given-up"


def session(tenant: str, session_id: str) -> str:
    return f"pmcp:sess:{tenant}:{session_id}"


def sessions(tenant: str) -> str:
    """ZSET session id → when to see whether it has expired, ms of Redis `TIME`; 0: at the next pass."""
    return f"pmcp:sessions:{tenant}"


def ended_sessions(tenant: str) -> str:
    """SET of sessions that expired, until the gateway that looks after them knows."""
    return f"pmcp:sessions:{tenant}:ended"


def sights(tenant: str, session_id: str) -> str:
    """HASH of what the session's player sees: kind → JSON. Expires."""
    return f"pmcp:sights:{tenant}:{session_id}"


def talk(tenant: str, conversation_id: str) -> str:
    """HASH of one conversation between two personas. Expires."""
    return f"pmcp:talk:{tenant}:{conversation_id}"


def talk_of_session(tenant: str, session_id: str) -> str:
    """STRING: the talk this session started last. Expires."""
    return f"pmcp:talk-of:{tenant}:{session_id}"


def conversation_queue(tenant: str, conversation_id: str) -> str:
    """LIST of jobs of one conversation: only the head runs. `submit.lua` builds the same name."""
    return f"pmcp:conv:{tenant}:{conversation_id}:q"


def conversations(tenant: str) -> str:
    """ZSET conversation → time of its last accepted message, ms."""
    return f"pmcp:convs:{tenant}"


def idempotency(tenant: str, principal: str, player_id: str, key: str) -> str:
    """A key is a player's own: two players who both count their messages from 1 never get each other's replies.

    Player and key are hashed: they may be long or hold anything but NUL.
    """
    digest = hashlib.blake2b(f"{player_id}\0{key}".encode(), digest_size=16).hexdigest()
    return f"pmcp:idem:{tenant}:{principal}:{digest}"


def gateway_channel(gateway_id: str) -> str:
    return f"pmcp:gw:{gateway_id}"


def session_notices(gateway_id: str) -> str:
    """Channel: sessions of this gateway's sockets that another socket took over."""
    return f"pmcp:gw:{gateway_id}:sessions"


def persona_shelf(tenant: str) -> str:
    """HASH persona → its last seen version (JSON), for workers while the persona service is away."""
    return f"pmcp:personas:{tenant}"


def models(tenant: str) -> str:
    """HASH worker → what it last saw at its model server (JSON)."""
    return f"pmcp:models:{tenant}"


def learning_calls(tenant: str, hour: int) -> str:
    """STRING: calls of a model to learn from conversations, in one hour since 1970. Expires."""
    return f"pmcp:learning:{tenant}:calls:{hour}"


def learning_failures(tenant: str) -> str:
    """HASH conversation → how often in a row learning from it failed."""
    return f"pmcp:learning:{tenant}:failures"


def wake(queue: str) -> str:
    """LIST of arq job ids just put into `queue`; losing one costs a poll delay, nothing else."""
    return f"{queue}:wake"


def world(tenant: str, player_id: str) -> str:
    """STRING: who saves or loads this player's world now. Expires. While it begins with `load:`, `submit.lua` (which
    builds the same name) takes no message of the player."""
    return f"pmcp:world:{tenant}:{player_id}"


def conversation_id(tenant: str, persona_id: str, player_id: str) -> str:
    """The conversation of a player with a persona: the same on every gateway and after every restart.

    SHA-1 because Redis scripts have it (`submit.lua` computes the same name); nothing secret depends on it.
    """
    digest = hashlib.sha1(f"{tenant}\0{persona_id}\0{player_id}".encode(), usedforsecurity=False)
    return f"conv_{digest.hexdigest()[:32]}"
