-- The statements of life_store.py: single memories, and all of a player.

-- name: read_memory
SELECT
    id, persona_id, player_id, content, memory_type, importance, initial_importance, emotional_valence, visibility,
    participants, speaker, source_message_ids, session_id, world_time, occurred_at, created_at, updated_at,
    accessed_count, last_accessed, pinned, embedding_model, vector_dims(embedding) AS embedding_dimension, metadata
FROM memory.visible_memories($1, $2, $3)
WHERE id = $4

-- name: own_memories
-- $4 ids: those that are this player's with this persona, or the persona's own; locked until the transaction ends.
SELECT id, thread_id, ordinal, content, lead_in, visibility, importance, initial_importance, accessed_count,
    source_message_ids
FROM memory.memories
WHERE tenant_id = $1 AND persona_id = $2 AND (player_id = $3 OR player_id IS NULL) AND id = ANY ($4::text[])
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
    updated_at = $4
FROM (
    SELECT
        ARRAY(
            SELECT DISTINCT source FROM memory.memories n, unnest(n.source_message_ids) AS source
            WHERE n.tenant_id = $1 AND n.id = ANY ($3::text[])
        ) AS sources,
        max(importance) AS importance, max(initial_importance) AS initial_importance,
        sum(accessed_count)::integer AS accesses
    FROM memory.memories
    WHERE tenant_id = $1 AND id = ANY ($3::text[])
) AS o
WHERE m.tenant_id = $1 AND m.id = $2

-- name: move_sources
UPDATE memory.sources SET memory_id = $2 WHERE tenant_id = $1 AND memory_id = ANY ($3::text[])

-- name: delete_memories
DELETE FROM memory.memories WHERE tenant_id = $1 AND id = ANY ($2::text[])

-- name: echoes
-- Memories that carry a question of a forgotten text before them: $2 threads, $3 ordinals.
SELECT m.id, m.content
FROM memory.memories m
JOIN unnest($2::text[], $3::integer[]) AS f (thread_id, ordinal)
    ON m.thread_id = f.thread_id AND m.ordinal = f.ordinal + 1
WHERE m.tenant_id = $1 AND m.lead_in <> ''

-- name: drop_lead_in
UPDATE memory.memories
SET lead_in = '', embedding = $3::vector::halfvec, embedding_model = $4,
    words = memory.words_of('', content, coalesce(world_time, occurred_at), speaker)
WHERE tenant_id = $1 AND id = $2

-- name: delete_summaries_of_threads
DELETE FROM memory.summaries WHERE tenant_id = $1 AND conversation_id = ANY ($2::text[]) RETURNING conversation_id

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
WHERE s.tenant_id = $1 AND s.conversation_id IN (
    SELECT t.conversation_id FROM memory.turns t WHERE t.tenant_id = $1 AND t.player_id = $2
)
ORDER BY s.conversation_id
