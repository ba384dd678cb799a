-- The statements of store.py. Every one of them names the tenant first.

-- name: insert_turns
-- Columns as arrays, one element a turn; positions follow their order. Known message ids are left as they are.
INSERT INTO memory.turns (
    tenant_id, message_id, conversation_id, persona_id, player_id, role, content, created_at, metadata
)
SELECT $1, t.message_id, t.conversation_id, t.persona_id, t.player_id, t.role, t.content, t.created_at, t.metadata
FROM unnest($2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::timestamptz[], $9::jsonb[])
    WITH ORDINALITY
    AS t (message_id, conversation_id, persona_id, player_id, role, content, created_at, metadata, number)
ORDER BY t.number
ON CONFLICT (tenant_id, message_id) DO NOTHING
RETURNING message_id

-- name: find_turn
SELECT message_id, conversation_id, persona_id, player_id, role, content, created_at, metadata
FROM memory.turns
WHERE tenant_id = $1 AND message_id = $2

-- name: recent_turns
-- Newest first; the summary of what lies before comes with the first row only. Persona and player too: a wrong
-- conversation id shows nothing instead of another's words.
SELECT
    message_id, conversation_id, persona_id, player_id, role, content, created_at, metadata,
    CASE WHEN row_number() OVER (ORDER BY position DESC) = 1 THEN (
        SELECT s.content FROM memory.summaries s WHERE s.tenant_id = $1 AND s.conversation_id = $2
    ) END AS summary
FROM memory.turns
WHERE tenant_id = $1 AND conversation_id = $2 AND persona_id = $3 AND player_id = $4
ORDER BY position DESC
LIMIT $5

-- name: turns_to_remember
SELECT
    t.message_id, t.conversation_id, t.persona_id, t.player_id, t.role, t.content, t.created_at, t.metadata,
    EXISTS (
        SELECT 1 FROM memory.memories m
        WHERE m.tenant_id = $1 AND m.source_key = 'turn:' || t.message_id
    ) AS remembered
FROM memory.turns t
WHERE t.tenant_id = $1 AND t.message_id = ANY ($2::text[])
ORDER BY t.position

-- name: insert_memories
-- Columns as arrays, one element a memory, each of one source turn.
INSERT INTO memory.memories (
    tenant_id, id, persona_id, player_id, content, memory_type, importance, emotional_valence,
    source_message_ids, source_key, embedding, embedding_model, occurred_at
)
SELECT
    $1, m.id, m.persona_id, m.player_id, m.content, m.memory_type, m.importance, m.emotional_valence,
    ARRAY[m.source], 'turn:' || m.source, m.embedding, $2, m.occurred_at
FROM unnest(
    $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::real[], $9::real[], $10::text[], $11::vector[],
    $12::timestamptz[]
) AS m (
    id, persona_id, player_id, content, memory_type, importance, emotional_valence, source, embedding, occurred_at
)
ON CONFLICT (tenant_id, source_key) DO NOTHING
RETURNING id

-- name: nearest_memories
-- Exact cosine over what this player may recall of this persona: own memories, and the persona's that have no player.
-- $4 vector, $5 its model, $6 type or null, $7 least importance, $8 sources that are known already, $9 how many.
SELECT
    id, content, memory_type, importance, emotional_valence, related_personas, visibility, created_at,
    accessed_count, 1 - (embedding <=> $4) AS similarity
FROM memory.memories
WHERE tenant_id = $1
    AND persona_id = $2
    AND (player_id = $3 OR player_id IS NULL)
    AND embedding_model = $5
    AND ($6::text IS NULL OR memory_type = $6)
    AND importance >= $7
    AND NOT source_message_ids && $8::text[]
ORDER BY embedding <=> $4, id
LIMIT $9

-- name: count_accesses
UPDATE memory.memories m
SET accessed_count = m.accessed_count + a.times, last_accessed = greatest(m.last_accessed, $4)
FROM unnest($2::text[], $3::integer[]) AS a (id, times)
WHERE m.tenant_id = $1 AND m.id = a.id

-- name: memory_stats
-- $4 start of today.
SELECT
    memory_type, count(*) AS memories, sum(importance)::float8 AS importance,
    count(*) FILTER (WHERE importance >= 0.7) AS important,
    count(*) FILTER (WHERE created_at >= $4) AS today
FROM memory.memories
WHERE tenant_id = $1 AND persona_id = $2 AND (player_id = $3 OR player_id IS NULL)
GROUP BY memory_type
ORDER BY memory_type
