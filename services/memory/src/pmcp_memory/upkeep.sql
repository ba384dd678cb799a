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

-- name: crowded_players
-- Whose vectors of model $2 with one persona are at least $1, of at most $3 dimensions, without a whole index over them.
SELECT m.tenant_id, m.persona_id, m.player_id
FROM (
    SELECT tenant_id, persona_id, player_id FROM memory.memories
    WHERE player_id IS NOT NULL AND embedding_model = $2
    GROUP BY tenant_id, persona_id, player_id
    HAVING count(*) >= $1
) AS m
JOIN memory.embedding_models e ON e.name = $2 AND e.dimension <= $3
LEFT JOIN memory.near_indexes i
    ON i.tenant_id = m.tenant_id AND i.persona_id = m.persona_id AND i.player_id = m.player_id AND i.embedding_model = $2
WHERE i.index_name IS NULL OR NOT EXISTS (
    SELECT 1 FROM pg_index x WHERE x.indexrelid = to_regclass('memory.' || i.index_name) AND x.indisvalid
)

-- name: indexes_of
-- Over the memories of one player.
SELECT index_name FROM memory.near_indexes WHERE tenant_id = $1 AND player_id = $2

-- name: idle_indexes
-- Of tenant $2 and player $3, or (null) of all: over fewer vectors now than half of the $1 that are searched exactly.
SELECT i.index_name
FROM memory.near_indexes i
WHERE ($2::text IS NULL OR i.tenant_id = $2 AND i.player_id = $3::text)
    AND (
        SELECT count(*) FROM memory.memories m
        WHERE m.tenant_id = i.tenant_id AND m.persona_id = i.persona_id AND m.player_id = i.player_id
            AND m.embedding_model = i.embedding_model
    ) < $1::integer / 2

-- name: index_statement
-- The text of the CREATE INDEX of one player's vectors of model $4; $5 its name. The expression and its conditions are
-- those of recall.sql, or it is never used.
SELECT format(
    'CREATE INDEX CONCURRENTLY %I ON memory.memories'
    ' USING hnsw ((embedding::public.halfvec(%s)) public.halfvec_cosine_ops) WITH (m = 16, ef_construction = 128)'
    ' WHERE tenant_id = %L AND persona_id = %L AND player_id = %L AND embedding_model = %L',
    $5::text, e.dimension, $1::text, $2::text, $3::text, $4::text
)
FROM memory.embedding_models e
WHERE e.name = $4

-- name: note_index
INSERT INTO memory.near_indexes (tenant_id, persona_id, player_id, embedding_model, index_name)
VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (tenant_id, persona_id, player_id, embedding_model) DO UPDATE SET index_name = excluded.index_name

-- name: unnote_index
DELETE FROM memory.near_indexes WHERE index_name = $1
