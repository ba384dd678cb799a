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
        SELECT s.content FROM memory.summaries s
        WHERE s.tenant_id = $1 AND s.conversation_id = $2 AND s.persona_id = $3 AND s.player_id = $4
    ) END AS summary
FROM memory.turns
WHERE tenant_id = $1 AND conversation_id = $2 AND persona_id = $3 AND player_id = $4
ORDER BY position DESC
LIMIT $5

-- name: turns_to_remember
-- In the order of their conversations, each with the turn before it and its number there. A conversation is of one
-- persona and one player: its id alone says nothing.
SELECT
    t.message_id, t.conversation_id, t.persona_id, t.player_id, t.role, t.content, t.created_at, t.metadata,
    EXISTS (SELECT 1 FROM memory.sources s WHERE s.tenant_id = $1 AND s.message_id = t.message_id) AS remembered,
    -- Counted on from the newest memory: counting all would take longer with each turn, and shrink with a forgotten one.
    coalesce(e.ordinal, 0) + (
        SELECT count(*) FROM memory.turns o
        WHERE o.tenant_id = $1 AND o.conversation_id = t.conversation_id
            AND o.persona_id = t.persona_id AND o.player_id = t.player_id
            AND o.position > coalesce(e.position, 0) AND o.position <= t.position
    ) AS ordinal,
    b.role AS before_role, b.content AS before_content, b.created_at AS before_created_at,
    b.message_id AS before_message_id,
    coalesce(e.episode, 0) AS episode_before
FROM memory.turns t
LEFT JOIN LATERAL (
    SELECT o.message_id, o.role, o.content, o.created_at FROM memory.turns o
    WHERE o.tenant_id = $1 AND o.conversation_id = t.conversation_id AND o.position < t.position
        AND o.persona_id = t.persona_id AND o.player_id = t.player_id
    ORDER BY o.position DESC
    LIMIT 1
) AS b ON true
LEFT JOIN LATERAL (
    SELECT m.episode, m.ordinal, s.position
    FROM memory.memories m
    JOIN memory.turns s ON s.tenant_id = $1 AND s.message_id = m.source_message_ids[1]
    WHERE m.tenant_id = $1 AND m.thread_id = t.conversation_id AND s.position < t.position
        AND m.persona_id = t.persona_id AND m.player_id = t.player_id
    ORDER BY m.ordinal DESC
    LIMIT 1
) AS e ON true
WHERE t.tenant_id = $1 AND t.message_id = ANY ($2::text[])
ORDER BY t.persona_id, t.player_id, t.conversation_id, t.position

-- name: hold_sources
SELECT message_id FROM memory.turns
WHERE tenant_id = $1 AND message_id = ANY ($2::text[])
ORDER BY position
FOR SHARE

-- name: remembered_sources
SELECT message_id FROM memory.sources WHERE tenant_id = $1 AND message_id = ANY ($2::text[])

-- name: find_wording
-- $4 one player's texts by wording_key: the memory that says it already, for each who said it and each question before
-- it. Only what is private takes private sources.
SELECT DISTINCT ON (wording_key, said_by, lead_in) wording_key, said_by, lead_in, id
FROM memory.memories
WHERE tenant_id = $1 AND persona_id = $2 AND player_id IS NOT DISTINCT FROM $3 AND wording_key = ANY ($4::text[])
    AND visibility = 'private'
ORDER BY wording_key, said_by, lead_in, ordinal, id

-- name: insert_memories
-- Columns as arrays, one element a memory.
INSERT INTO memory.memories (
    tenant_id, id, persona_id, player_id, content, memory_type, importance, initial_importance, emotional_valence,
    related_personas, visibility, metadata, source_message_ids, source_key, wording_key, embedding, embedding_model,
    occurred_at, created_at, updated_at, thread_id, ordinal, episode, said_by, speaker, lead_in, cues, participants,
    session_id, world_time, words
)
SELECT
    $1, m.id, m.persona_id, m.player_id, m.content, m.memory_type, m.importance, m.importance, m.emotional_valence,
    -- As {"ids": […]}: an array of arrays of different lengths there is not.
    ARRAY(SELECT jsonb_array_elements_text(m.related_personas -> 'ids')), m.visibility, m.metadata,
    CASE WHEN m.source IS NULL THEN '{}'::text[] ELSE ARRAY[m.source] END, 'turn:' || m.source, m.wording_key,
    m.embedding::halfvec, $2, m.occurred_at, $3, $3, m.thread_id, m.ordinal, m.episode, m.said_by, m.speaker, m.lead_in,
    m.cues, array_remove(ARRAY[m.player_id, m.persona_id], NULL), m.session_id, m.world_time,
    memory.words_of(m.lead_in, m.content, coalesce(m.world_time, m.occurred_at), m.speaker)
FROM unnest(
    $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::real[], $10::real[], $11::jsonb[], $12::text[],
    $13::jsonb[], $14::text[], $15::text[], $16::vector[], $17::timestamptz[], $18::text[], $19::integer[],
    $20::integer[], $21::text[], $22::text[], $23::text[], $24::integer[], $25::text[], $26::timestamptz[]
) AS m (
    id, persona_id, player_id, content, memory_type, importance, emotional_valence, related_personas, visibility,
    metadata, source, wording_key, embedding, occurred_at, thread_id, ordinal, episode, said_by, speaker, lead_in,
    cues, session_id, world_time
)
RETURNING id

-- name: insert_sources
INSERT INTO memory.sources (tenant_id, message_id, memory_id)
SELECT $1, s.message_id, s.memory_id FROM unnest($2::text[], $3::text[]) AS s (message_id, memory_id)

-- name: merge_sources
-- Said again: provenance grows, the time is the last one, and it matters at least as much as it does now.
UPDATE memory.memories m
SET source_message_ids = m.source_message_ids || r.sources,
    importance = greatest(m.importance, r.importance),
    initial_importance = greatest(m.initial_importance, r.importance),
    occurred_at = greatest(m.occurred_at, r.occurred_at),
    first_occurred_at = least(m.first_occurred_at, m.occurred_at, r.first_occurred_at),
    world_time = greatest(m.world_time, r.world_time),
    words = memory.words_of(
        m.lead_in, m.content,
        coalesce(greatest(m.world_time, r.world_time), greatest(m.occurred_at, r.occurred_at)), m.speaker
    ),
    updated_at = $2
FROM (
    SELECT
        s.id, array_agg(s.source ORDER BY s.source) AS sources, max(s.importance) AS importance,
        max(s.occurred_at) AS occurred_at, min(s.occurred_at) AS first_occurred_at, max(s.world_time) AS world_time
    FROM unnest($3::text[], $4::text[], $5::real[], $6::timestamptz[], $7::timestamptz[])
        AS s (id, source, importance, occurred_at, world_time)
    GROUP BY s.id
) AS r
WHERE m.tenant_id = $1 AND m.id = r.id

-- name: count_accesses
UPDATE memory.memories m
SET accessed_count = m.accessed_count + a.times, last_accessed = greatest(m.last_accessed, $4),
    accessed_world_time = CASE WHEN m.world_time IS NOT NULL THEN (
        SELECT max(o.world_time) FROM memory.memories o
        WHERE o.tenant_id = $1 AND o.persona_id = m.persona_id AND o.player_id = m.player_id AND o.world_time IS NOT NULL
    ) END
FROM unnest($2::text[], $3::integer[]) AS a (id, times)
WHERE m.tenant_id = $1 AND m.id = a.id

-- name: memory_stats
-- $4 start of today.
SELECT
    memory_type, count(*) AS memories, sum(importance)::float8 AS importance,
    count(*) FILTER (WHERE importance >= 0.7::real) AS important,
    count(*) FILTER (WHERE created_at >= $4) AS today,
    min(created_at) AS oldest, max(created_at) AS newest
FROM memory.memories
WHERE tenant_id = $1 AND persona_id = $2 AND (player_id = $3 OR player_id IS NULL)
GROUP BY memory_type
ORDER BY memory_type
