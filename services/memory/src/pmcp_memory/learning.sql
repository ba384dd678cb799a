-- The statements of learning_store.py. Every one of them names the tenant first.

-- name: turns_to_learn
SELECT message_id, conversation_id, persona_id, player_id, role, content, created_at, metadata
FROM memory.turns
WHERE tenant_id = $1 AND conversation_id = $2 AND persona_id = $3 AND player_id = $4 AND NOT learned
ORDER BY position
LIMIT $5

-- name: hold_turns
-- Whoever forgets or edits one of them finds then what was learned from it.
SELECT message_id, content, created_at, metadata, learned
FROM memory.turns
WHERE tenant_id = $1 AND conversation_id = $2 AND persona_id = $3 AND player_id = $4 AND message_id = ANY ($5::text[])
ORDER BY position
FOR NO KEY UPDATE

-- name: insert_lessons
INSERT INTO memory.memories (
    tenant_id, id, persona_id, player_id, content, memory_type, importance, initial_importance, emotional_valence,
    visibility, metadata, source_key, learned_from, embedding, embedding_model, occurred_at, created_at, updated_at,
    thread_id, cues, participants, session_id, world_time, words
)
SELECT
    $1, m.id, $2::text, $3::text, m.content, m.memory_type, m.importance, m.importance, m.emotional_valence,
    'private', $4::jsonb, m.source_key, $5::text[], m.embedding::halfvec, $6, $7::timestamptz, $8, $8,
    m.id, m.cues, ARRAY[$3, $2], $9, $10::timestamptz,
    memory.words_of('', m.content, coalesce($10::timestamptz, $7::timestamptz), NULL::text)
FROM unnest($11::text[], $12::text[], $13::text[], $14::real[], $15::real[], $16::text[], $17::vector[], $18::integer[])
    AS m (id, content, memory_type, importance, emotional_valence, source_key, embedding, cues)
ON CONFLICT (tenant_id, source_key) DO NOTHING
RETURNING id

-- name: mark_learned
UPDATE memory.turns SET learned = true WHERE tenant_id = $1 AND message_id = ANY ($2::text[])
