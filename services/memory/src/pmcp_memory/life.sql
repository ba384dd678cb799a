-- The statements of life_store.py: single memories, and all of a player.

-- name: read_memory
SELECT
    id, persona_id, player_id, content, memory_type, importance, initial_importance, emotional_valence, visibility,
    participants, speaker, source_message_ids, session_id, world_time, occurred_at, created_at, updated_at,
    accessed_count, last_accessed, pinned, embedding_model, vector_dims(embedding) AS embedding_dimension, metadata
FROM memory.visible_memories($1, $2, $3)
WHERE id = $4

-- name: own_memories
-- $4 ids: those of this player with this persona, or, with no player in $3, the persona's own; locked until the
-- transaction ends.
SELECT id, thread_id, ordinal, content, lead_in, visibility, importance, initial_importance, accessed_count,
    source_message_ids
FROM memory.memories
WHERE tenant_id = $1 AND persona_id = $2 AND player_id IS NOT DISTINCT FROM $3 AND id = ANY ($4::text[])
ORDER BY id
FOR UPDATE

-- name: edit_memory
-- $3 content … $8 pinned: null leaves as it is. $9 the vector of a new text, $10 its model, $11 its wording_key.
-- A memory that others may see, or with a new text, loses the question that stood before it.
UPDATE memory.memories
SET content = coalesce($3, content),
    memory_type = coalesce($4, memory_type),
    importance = coalesce($5, importance),
    initial_importance = coalesce($5, initial_importance),
    emotional_valence = coalesce($6, emotional_valence),
    visibility = coalesce($7, visibility),
    pinned = coalesce($8, pinned),
    embedding = coalesce($9::vector::halfvec, embedding),
    embedding_model = CASE WHEN $9::vector IS NULL THEN embedding_model ELSE $10 END,
    wording_key = CASE WHEN $9::vector IS NULL THEN wording_key ELSE $11 END,
    lead_in = CASE WHEN $9::vector IS NULL THEN lead_in ELSE '' END,
    words = CASE
        WHEN $9::vector IS NULL THEN words
        ELSE memory.words_of('', coalesce($3, content), coalesce(world_time, occurred_at), speaker)
    END,
    metadata = CASE
        WHEN $7::text IS NULL OR $7 = visibility THEN metadata
        ELSE metadata || jsonb_build_object('visibility_set_at', $12::timestamptz, 'visibility_was', visibility)
    END,
    updated_at = $12
WHERE tenant_id = $1 AND id = $2

-- name: gain_sources
-- $2 the memory that stays, $3 those that become part of it.
UPDATE memory.memories m
SET source_message_ids = m.source_message_ids || o.sources,
    importance = greatest(m.importance, o.importance),
    initial_importance = greatest(m.initial_importance, o.initial_importance),
    accessed_count = m.accessed_count + o.accesses,
    last_accessed = greatest(m.last_accessed, o.last_accessed),
    pinned = m.pinned OR o.pinned,
    updated_at = $4
FROM (
    SELECT
        ARRAY(
            SELECT DISTINCT source FROM memory.memories n, unnest(n.source_message_ids) AS source
            WHERE n.tenant_id = $1 AND n.id = ANY ($3::text[])
        ) AS sources,
        max(importance) AS importance, max(initial_importance) AS initial_importance,
        sum(accessed_count)::integer AS accesses, max(last_accessed) AS last_accessed, bool_or(pinned) AS pinned
    FROM memory.memories
    WHERE tenant_id = $1 AND id = ANY ($3::text[])
) AS o
WHERE m.tenant_id = $1 AND m.id = $2

-- name: move_sources
UPDATE memory.sources SET memory_id = $2 WHERE tenant_id = $1 AND memory_id = ANY ($3::text[])

-- name: delete_memories
DELETE FROM memory.memories WHERE tenant_id = $1 AND id = ANY ($2::text[])

-- name: hold_turns
-- Of which memory $4 was made. Turns before memories, as whoever remembers takes them.
SELECT 1
FROM memory.turns t
WHERE t.tenant_id = $1 AND t.message_id = ANY (ARRAY(
    SELECT unnest(m.source_message_ids) FROM memory.memories m
    WHERE m.tenant_id = $1 AND m.persona_id = $2 AND m.player_id IS NOT DISTINCT FROM $3 AND m.id = $4
))
ORDER BY t.position
FOR UPDATE

-- name: source_turns
-- $2 message ids: the conversation of each, and the turn after it, before which its question may stand.
SELECT t.conversation_id, n.message_id AS next_message_id
FROM memory.turns t
LEFT JOIN LATERAL (
    SELECT o.message_id FROM memory.turns o
    WHERE o.tenant_id = $1 AND o.conversation_id = t.conversation_id AND o.position > t.position
    ORDER BY o.position
    LIMIT 1
) AS n ON true
WHERE t.tenant_id = $1 AND t.message_id = ANY ($2::text[])

-- name: echoes
-- Memories that carry a question of a forgotten text before them: made of one of the messages $2, or the next after
-- ordinal $4 of thread $3.
SELECT m.id, m.content
FROM memory.memories m
WHERE m.tenant_id = $1 AND m.lead_in <> ''
    AND (m.source_message_ids && $2::text[] OR (m.thread_id = $3 AND m.ordinal = $4 + 1))
ORDER BY m.id
FOR UPDATE

-- name: drop_lead_in
UPDATE memory.memories
SET lead_in = '', embedding = $3::vector::halfvec, embedding_model = $4,
    words = memory.words_of('', content, coalesce(world_time, occurred_at), speaker)
WHERE tenant_id = $1 AND id = $2

-- name: empty_summaries
-- Of the conversations $2. A row without content stays: its version refuses a draft that was made before.
WITH had AS (
    SELECT conversation_id FROM memory.summaries
    WHERE tenant_id = $1 AND conversation_id = ANY ($2::text[]) AND content IS NOT NULL
),
emptied AS (
    INSERT INTO memory.summaries AS s (tenant_id, conversation_id, content, upto_position, updated_at)
    SELECT $1, c.id, NULL, -1, $3 FROM unnest($2::text[]) AS c (id) ORDER BY c.id
    ON CONFLICT (tenant_id, conversation_id) DO UPDATE
        SET content = NULL, upto_position = -1, version = s.version + 1, updated_at = $3
)
SELECT conversation_id FROM had

-- name: delete_turns
DELETE FROM memory.turns WHERE tenant_id = $1 AND message_id = ANY ($2::text[]) RETURNING message_id

-- name: export_memories
SELECT
    id, persona_id, player_id, content, memory_type, importance, initial_importance, emotional_valence, visibility,
    participants, speaker, source_message_ids, session_id, world_time, occurred_at, created_at, updated_at,
    accessed_count, last_accessed, pinned, embedding_model, vector_dims(embedding) AS embedding_dimension, metadata
FROM memory.memories
WHERE tenant_id = $1 AND player_id = $2
ORDER BY occurred_at, id

-- name: export_turns
SELECT message_id, conversation_id, persona_id, player_id, role, content, created_at, metadata
FROM memory.turns
WHERE tenant_id = $1 AND player_id = $2
ORDER BY position

-- name: export_summaries
SELECT s.conversation_id, s.content, s.updated_at
FROM memory.summaries s
WHERE s.tenant_id = $1 AND s.content IS NOT NULL AND s.conversation_id IN (
    SELECT t.conversation_id FROM memory.turns t WHERE t.tenant_id = $1 AND t.player_id = $2
)
ORDER BY s.conversation_id
