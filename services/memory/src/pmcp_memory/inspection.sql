-- The statements of inspection_store.py: memories and a player's records, page by page. :record (memory_records.sql)

-- name: list_memories
-- $4 type or null  $5 visibility or null  $6 before this time  $7 and this id, or null  $8 how many. Newest first.
SELECT :record
FROM memory.visible_memories($1, $2, $3)
WHERE ($4::text IS NULL OR memory_type = $4) AND ($5::text IS NULL OR visibility = $5)
    AND ($6::timestamptz IS NULL OR (occurred_at, id) < ($6, $7::text))
ORDER BY occurred_at DESC, id DESC
LIMIT $8

-- name: place_of
SELECT occurred_at FROM memory.visible_memories($1, $2, $3) WHERE id = $4

-- name: page_of_memories
-- After id $3, at most $4.
SELECT :record
FROM memory.all_memories($1, $2)
WHERE id > $3
ORDER BY id
LIMIT $4

-- name: page_of_turns
-- After position $3, at most $4.
SELECT message_id, conversation_id, persona_id, player_id, role, content, created_at, metadata, position
FROM memory.all_turns($1, $2)
WHERE position > $3
ORDER BY position
LIMIT $4

-- name: page_of_summaries
-- After the first $3, at most $4.
SELECT conversation_id, persona_id, content, updated_at
FROM memory.summaries
WHERE tenant_id = $1 AND player_id = $2 AND content IS NOT NULL
ORDER BY persona_id, conversation_id
LIMIT $4 OFFSET $3

-- name: page_of_waiting
-- Messages that were accepted and have not been seen to end: after the first $3, at most $4.
SELECT
    job_id, jobs.told(submission) ->> 'persona_id' AS persona_id, jobs.told(submission) ->> 'message' AS content,
    accepted_at
FROM jobs.accepted
WHERE tenant_id = $1 AND jobs.told(submission) ->> 'player_id' = $2
ORDER BY accepted_at, job_id
LIMIT $4 OFFSET $3
