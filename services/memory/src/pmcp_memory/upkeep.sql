-- The statements of upkeep_store.py. Only these look at all tenants at once; none of them moves a row between them.

-- name: take_lease
UPDATE memory.upkeep
SET holder = $1, held_until = now() + make_interval(secs => $2)
WHERE name = 'upkeep' AND (holder = $1 OR held_until < now())
RETURNING holder

-- name: drop_lease
UPDATE memory.upkeep SET holder = NULL, held_until = 'epoch' WHERE name = 'upkeep' AND holder = $1

-- name: done_at
SELECT done_at FROM memory.upkeep WHERE name = $1

-- name: mark_done
UPDATE memory.upkeep SET done_at = $2 WHERE name = $1

-- name: foreign_vectors
-- Memories whose vector is of another model than $1.
SELECT tenant_id, id, lead_in, content, embedding_model
FROM memory.memories
WHERE embedding_model < $1 OR embedding_model > $1
LIMIT $2

-- name: replace_vectors
-- Only where the text is still the one that was embedded.
UPDATE memory.memories m
SET embedding = v.embedding::halfvec, embedding_model = $1
FROM unnest($2::text[], $3::text[], $4::text[], $5::text[], $6::vector[])
    AS v (tenant_id, id, lead_in, content, embedding)
WHERE m.tenant_id = v.tenant_id AND m.id = v.id AND m.content = v.content AND m.lead_in = v.lead_in

-- name: aging_memories
-- After ($1, $2), in that order.
SELECT tenant_id, id, importance, initial_importance, created_at, last_accessed, accessed_count, pinned
FROM memory.memories
WHERE (tenant_id, id) > ($1, $2)
ORDER BY tenant_id, id
LIMIT $3

-- name: set_importances
UPDATE memory.memories m
SET importance = i.importance
FROM unnest($1::text[], $2::text[], $3::real[]) AS i (tenant_id, id, importance)
WHERE m.tenant_id = i.tenant_id AND m.id = i.id

-- name: crowded
-- Whose memories are at least $1.
SELECT tenant_id, persona_id, player_id
FROM memory.memories
GROUP BY tenant_id, persona_id, player_id
HAVING count(*) >= $1

-- name: prunable
SELECT id, importance, accessed_count, created_at, pinned OR visibility <> 'private' AS protected
FROM memory.memories
WHERE tenant_id = $1 AND persona_id = $2 AND player_id IS NOT DISTINCT FROM $3

-- name: prune
-- What was recalled or pinned since it was chosen stays.
DELETE FROM memory.memories m
USING unnest($2::text[], $3::integer[]) AS p (id, accessed_count)
WHERE m.tenant_id = $1 AND m.id = p.id AND m.accessed_count = p.accessed_count AND NOT m.pinned
    AND m.visibility = 'private'
RETURNING m.id

-- name: crowded_players
-- Whose memories with one persona are at least $1, and the index they have, if it is whole.
SELECT m.tenant_id, m.persona_id, m.player_id, i.index_name
FROM (
    SELECT tenant_id, persona_id, player_id FROM memory.memories
    WHERE player_id IS NOT NULL
    GROUP BY tenant_id, persona_id, player_id
    HAVING count(*) >= $1
) AS m
LEFT JOIN memory.near_indexes i USING (tenant_id, persona_id, player_id)
WHERE i.index_name IS NULL OR NOT EXISTS (
    SELECT 1 FROM pg_index x WHERE x.indexrelid = to_regclass('memory.' || i.index_name) AND x.indisvalid
)

-- name: idle_indexes
-- Of memories that are fewer than $1 now.
SELECT i.tenant_id, i.persona_id, i.player_id, i.index_name
FROM memory.near_indexes i
WHERE (
    SELECT count(*) FROM memory.memories m
    WHERE m.tenant_id = i.tenant_id AND m.persona_id = i.persona_id AND m.player_id = i.player_id
) < $1

-- name: index_statement
-- The text of the CREATE INDEX of one player's memories; $4 its name.
SELECT format(
    'CREATE INDEX CONCURRENTLY %I ON memory.memories USING hnsw (embedding public.halfvec_cosine_ops)'
    ' WITH (m = 16, ef_construction = 128) WHERE tenant_id = %L AND persona_id = %L AND player_id = %L',
    $4::text, $1::text, $2::text, $3::text
)

-- name: note_index
INSERT INTO memory.near_indexes (tenant_id, persona_id, player_id, index_name) VALUES ($1, $2, $3, $4)
ON CONFLICT (tenant_id, persona_id, player_id) DO UPDATE SET index_name = excluded.index_name

-- name: unnote_index
DELETE FROM memory.near_indexes WHERE tenant_id = $1 AND persona_id = $2 AND player_id = $3
