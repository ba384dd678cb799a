-- The statements of life_store.py: single memories.

-- name: read_memory
SELECT :record
FROM memory.visible_memories($1, $2, $3)
WHERE id = $4

-- name: own_memories
-- $4 ids: those of this player with this persona, or, with no player in $3, the persona's own; locked until the
-- transaction ends.
SELECT id, thread_id, content, visibility, source_message_ids, learned_from
FROM memory.memories
WHERE tenant_id = $1 AND persona_id = $2 AND player_id IS NOT DISTINCT FROM $3 AND id = ANY ($4::text[])
ORDER BY id
FOR UPDATE

-- name: edit_memory
-- $3 content … $8 pinned: null leaves as it is. $9 the vector of a new text, $10 its model, $11 its wording_key, $13 its
-- cues. $14 related personas: null leaves them. A memory that others may see, or with a new text, loses the question that stood before it.
UPDATE memory.memories
SET content = coalesce($3, content),
    memory_type = coalesce($4, memory_type),
    importance = coalesce($5, importance),
    initial_importance = coalesce($5, initial_importance),
    emotional_valence = coalesce($6, emotional_valence),
    visibility = coalesce($7, visibility),
    pinned = coalesce($8, pinned),
    related_personas = coalesce($14::text[], related_personas),
    embedding = coalesce($9::vector::halfvec, embedding),
    embedding_model = CASE WHEN $9::vector IS NULL THEN embedding_model ELSE $10 END,
    wording_key = CASE WHEN $9::vector IS NULL THEN wording_key ELSE $11 END,
    cues = CASE WHEN $9::vector IS NULL THEN cues ELSE $13 END,
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

-- name: edit_turns
-- What was said is told as it is remembered now: a summary made later, or a lead-in, must not bring the old words back.
UPDATE memory.turns
SET content = $3, learned = false, metadata = metadata || jsonb_build_object('edited_at', $4::timestamptz)
WHERE tenant_id = $1 AND message_id = ANY ($2::text[])

-- name: gain_sources
-- $2 the memory that stays, $3 those that become part of it: their texts stay as its provenance.
UPDATE memory.memories m
SET source_message_ids = m.source_message_ids || o.sources,
    importance = greatest(m.importance, o.importance),
    initial_importance = greatest(m.initial_importance, o.initial_importance),
    accessed_count = m.accessed_count + o.accesses,
    last_accessed = greatest(m.last_accessed, o.last_accessed),
    accessed_world_time = greatest(m.accessed_world_time, o.accessed_world_time),
    pinned = m.pinned OR o.pinned,
    merged_from = m.merged_from || o.merged_from,
    updated_at = $4
FROM (
    SELECT
        ARRAY(
            SELECT DISTINCT source FROM memory.memories n, unnest(n.source_message_ids) AS source
            WHERE n.tenant_id = $1 AND n.id = ANY ($3::text[])
        ) AS sources,
        max(importance) AS importance, max(initial_importance) AS initial_importance,
        sum(accessed_count)::integer AS accesses, max(last_accessed) AS last_accessed,
        max(accessed_world_time) AS accessed_world_time, bool_or(pinned) AS pinned,
        (
            SELECT jsonb_agg(part.told ORDER BY p.occurred_at, p.id, part.number)
            FROM memory.memories p,
                jsonb_array_elements(
                    jsonb_build_array(jsonb_build_object(
                        'id', p.id, 'content', p.content, 'memory_type', p.memory_type,
                        'source_message_ids', p.source_message_ids, 'occurred_at', p.occurred_at,
                        'created_at', p.created_at, 'merged_at', $4::timestamptz
                    )) || p.merged_from
                ) WITH ORDINALITY AS part (told, number)
            WHERE p.tenant_id = $1 AND p.id = ANY ($3::text[])
        ) AS merged_from
    FROM memory.memories
    WHERE tenant_id = $1 AND id = ANY ($3::text[])
) AS o
WHERE m.tenant_id = $1 AND m.id = $2

-- name: move_sources
UPDATE memory.sources SET memory_id = $2 WHERE tenant_id = $1 AND memory_id = ANY ($3::text[])

-- name: delete_memories
DELETE FROM memory.memories WHERE tenant_id = $1 AND id = ANY ($2::text[])

-- name: delete_lessons
-- What a model learned from one of the turns $2, whose words it holds.
DELETE FROM memory.memories
WHERE tenant_id = $1 AND learned_from <> '{}' AND learned_from && $2::text[]
RETURNING id

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

-- name: reach
-- How far the words of memory $4 go, and whether they are still the same: itself, and the memories that carry a question
-- of it before them, which are made of the turn after one of its own, or next to it in its conversation.
WITH origin AS MATERIALIZED (
    SELECT id, thread_id, ordinal, source_message_ids FROM memory.memories
    WHERE tenant_id = $1 AND id = $4 AND persona_id = $2 AND player_id IS NOT DISTINCT FROM $3
),
-- Once, not for each memory that is looked at.
behind AS MATERIALIZED (
    SELECT coalesce(array_agg(n.message_id), '{}') AS message_ids
    FROM memory.turns t
    JOIN LATERAL (
        SELECT o.message_id FROM memory.turns o
        WHERE o.tenant_id = $1 AND o.conversation_id = t.conversation_id AND o.persona_id = t.persona_id
            AND o.player_id = t.player_id AND o.position > t.position
        ORDER BY o.position
        LIMIT 1
    ) AS n ON true
    WHERE t.tenant_id = $1 AND t.message_id = ANY (ARRAY(SELECT unnest(source_message_ids) FROM origin))
)
SELECT m.id, m.content, m.lead_in, m.visibility
FROM memory.memories m
CROSS JOIN origin f
CROSS JOIN behind b
WHERE m.tenant_id = $1 AND m.persona_id = $2 AND m.player_id IS NOT DISTINCT FROM $3
    AND (
        m.id = f.id
        OR m.lead_in <> '' AND (
            m.thread_id = f.thread_id AND m.ordinal = f.ordinal + 1
            OR m.source_message_ids && b.message_ids
        )
    )
ORDER BY m.id

-- name: conversations_of
-- In which $2 was said.
SELECT DISTINCT conversation_id FROM memory.turns WHERE tenant_id = $1 AND message_id = ANY ($2::text[])

-- name: change_lead_in
UPDATE memory.memories
SET lead_in = $3, embedding = $4::vector::halfvec, embedding_model = $5,
    words = memory.words_of($3, content, coalesce(world_time, occurred_at), speaker)
WHERE tenant_id = $1 AND id = $2

-- name: empty_summaries
-- Of what persona $2 and player $3 said in the conversations $4. A row without content stays: its version refuses a draft
-- that was made before.
WITH had AS (
    SELECT conversation_id FROM memory.summaries
    WHERE tenant_id = $1 AND persona_id = $2 AND player_id = $3 AND conversation_id = ANY ($4::text[])
        AND content IS NOT NULL
),
emptied AS (
    INSERT INTO memory.summaries AS s (
        tenant_id, conversation_id, persona_id, player_id, content, upto_position, updated_at
    )
    SELECT $1, c.id, $2, $3, NULL, -1, $5 FROM unnest($4::text[]) AS c (id) ORDER BY c.id
    ON CONFLICT (tenant_id, player_id, persona_id, conversation_id) DO UPDATE
        SET content = NULL, upto_position = -1, version = s.version + 1, updated_at = $5
)
SELECT conversation_id FROM had

-- name: delete_turns
DELETE FROM memory.turns WHERE tenant_id = $1 AND message_id = ANY ($2::text[])
RETURNING message_id, conversation_id, content
