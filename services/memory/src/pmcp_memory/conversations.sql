-- The statements of conversation_store.py. Every one of them names the tenant first.

-- name: exchanges
-- $5 the message before which to read, or null; $6 how many. Newest first.
SELECT
    u.message_id, u.content, u.created_at,
    r.message_id AS reply_id, r.content AS reply, r.created_at AS reply_at
FROM memory.turns u
LEFT JOIN LATERAL (
    SELECT n.role, n.message_id, n.content, n.created_at
    FROM memory.turns n
    WHERE n.tenant_id = $1 AND n.conversation_id = $2 AND n.persona_id = $3 AND n.player_id = $4
        AND n.position > u.position
    ORDER BY n.position
    LIMIT 1
) r ON r.role = 'assistant'
WHERE u.tenant_id = $1 AND u.conversation_id = $2 AND u.persona_id = $3 AND u.player_id = $4 AND u.role = 'user'
    AND (
        $5::text IS NULL
        OR u.position < (
            SELECT b.position FROM memory.turns b
            WHERE b.tenant_id = $1 AND b.message_id = $5 AND b.conversation_id = $2
                AND b.persona_id = $3 AND b.player_id = $4
        )
    )
ORDER BY u.position DESC
LIMIT $6

-- name: has_message
SELECT 1
FROM memory.turns
WHERE tenant_id = $1 AND conversation_id = $2 AND persona_id = $3 AND player_id = $4 AND message_id = $5

-- name: facts
SELECT
    count(*) AS turn_count, min(created_at) AS first_at, max(created_at) AS last_at,
    coalesce(sum(
        CASE WHEN jsonb_typeof(metadata -> 'tokens') = 'number' THEN (metadata ->> 'tokens')::numeric END
    ), 0)::bigint AS tokens_used,
    (array_agg((metadata ->> 'continue_score')::double precision ORDER BY position DESC)
        FILTER (WHERE jsonb_typeof(metadata -> 'continue_score') = 'number'))[1] AS continue_score
FROM memory.turns
WHERE tenant_id = $1 AND conversation_id = $2 AND persona_id = $3 AND player_id = $4

-- name: summary
SELECT content, version, upto_position
FROM memory.summaries
WHERE tenant_id = $1 AND conversation_id = $2 AND persona_id = $3 AND player_id = $4

-- name: turns_after
-- All but the newest $6 of those after position $5, oldest first, at most $7.
SELECT message_id, conversation_id, persona_id, player_id, role, content, created_at, metadata
FROM memory.turns
WHERE tenant_id = $1 AND conversation_id = $2 AND persona_id = $3 AND player_id = $4 AND position > $5
    AND position < (
        SELECT min(newest.position) FROM (
            SELECT position FROM memory.turns
            WHERE tenant_id = $1 AND conversation_id = $2 AND persona_id = $3 AND player_id = $4
            ORDER BY position DESC
            LIMIT $6
        ) newest
    )
ORDER BY position
LIMIT $7

-- name: count_turns
-- Up to $5 of them: more need not be counted.
SELECT count(*) AS turns FROM (
    SELECT 1 FROM memory.turns
    WHERE tenant_id = $1 AND conversation_id = $2 AND persona_id = $3 AND player_id = $4
    LIMIT $5
) counted

-- name: write_summary
-- Only on top of the version it was made from ($4), and of a turn of this conversation, whose persona and player are the
-- summary's.
INSERT INTO memory.summaries AS s (
    tenant_id, conversation_id, persona_id, player_id, content, upto_position, version, updated_at
)
SELECT $1, $2, t.persona_id, t.player_id, $3, t.position, $4 + 1, $6
FROM (
    -- Held until the summary is in: whoever erases the turn finds the summary then.
    SELECT * FROM memory.turns WHERE tenant_id = $1 AND conversation_id = $2 AND message_id = $5 FOR SHARE
) AS t
WHERE $4 = 0 OR EXISTS (
    SELECT 1 FROM memory.summaries o
    WHERE o.tenant_id = $1 AND o.conversation_id = $2 AND o.persona_id = t.persona_id AND o.player_id = t.player_id
        AND o.version = $4
)
ON CONFLICT (tenant_id, player_id, persona_id, conversation_id) DO UPDATE
    SET content = excluded.content, upto_position = excluded.upto_position, version = excluded.version,
        updated_at = excluded.updated_at
    WHERE s.version = $4 AND s.upto_position < excluded.upto_position
RETURNING version

-- name: forget_turns
-- First of all: waits for whoever remembers them just now, so that the statements after it see what was made.
DELETE FROM memory.turns WHERE tenant_id = $1 AND player_id = $2 RETURNING message_id

-- name: forget_sources
-- The book of what was remembered of them.
DELETE FROM memory.sources WHERE tenant_id = $1 AND message_id = ANY ($2::text[])

-- name: forget_memories
DELETE FROM memory.memories WHERE tenant_id = $1 AND player_id = $2 RETURNING id

-- name: forget_summaries
-- The emptied ones as well.
DELETE FROM memory.summaries WHERE tenant_id = $1 AND player_id = $2

-- name: forget_jobs
-- Messages that were accepted and have not been seen to end hold the player's words, too.
DELETE FROM jobs.accepted WHERE tenant_id = $1 AND jobs.told(submission) ->> 'player_id' = $2

-- name: forget_prunings
DELETE FROM memory.pruned_lately WHERE tenant_id = $1 AND player_id = $2
