-- The statements of tending_store.py. But for `due_tenants` and `crowded_anywhere`, each names the tenant first.

-- name: due_tenants
-- Who has memories, is tended, and has not been since $1. Skips from tenant to tenant: reading all rows would take long.
WITH RECURSIVE tenants AS (
    (SELECT tenant_id FROM memory.memories ORDER BY tenant_id LIMIT 1)
    UNION ALL
    SELECT (
        SELECT m.tenant_id FROM memory.memories m WHERE m.tenant_id > t.tenant_id ORDER BY m.tenant_id LIMIT 1
    )
    FROM tenants t
    WHERE t.tenant_id IS NOT NULL
)
SELECT t.tenant_id
FROM tenants t
LEFT JOIN memory.tending f USING (tenant_id)
WHERE t.tenant_id IS NOT NULL AND coalesce(f.running, true) AND (f.cycle_at IS NULL OR f.cycle_at <= $1)

-- name: crowded_anywhere
-- Of tended tenants: whose memories are at least $1.
SELECT m.tenant_id, m.persona_id, m.player_id
FROM memory.memories m
LEFT JOIN memory.tending f USING (tenant_id)
WHERE coalesce(f.running, true)
GROUP BY m.tenant_id, m.persona_id, m.player_id
HAVING count(*) >= $1
ORDER BY m.tenant_id, m.persona_id, m.player_id

-- name: owners
-- And how many memories each has.
SELECT persona_id, player_id, count(*) AS memories
FROM memory.memories
WHERE tenant_id = $1
GROUP BY persona_id, player_id
ORDER BY persona_id, player_id

-- name: aging_memories
-- After $2, in the order of ids. What has a time of its world ages by the world's clock, which shows the newest time that
-- persona and player have there.
SELECT
    m.id, m.persona_id, m.importance, m.initial_importance, m.accessed_count, m.pinned,
    coalesce(m.world_time, m.created_at) AS created_at,
    CASE WHEN m.world_time IS NULL THEN m.last_accessed ELSE m.accessed_world_time END AS last_accessed,
    CASE WHEN m.world_time IS NOT NULL THEN (
        SELECT max(o.world_time) FROM memory.memories o
        WHERE o.tenant_id = $1 AND o.persona_id = m.persona_id AND o.player_id = m.player_id AND o.world_time IS NOT NULL
    ) END AS world_now
FROM memory.memories m
WHERE m.tenant_id = $1 AND m.id > $2
ORDER BY m.id
LIMIT $3

-- name: set_importances
-- Unless somebody edited it since it was read ($4 the importance then). In one order for all.
UPDATE memory.memories m
SET importance = i.importance
FROM (
    SELECT l.id, n.importance
    FROM unnest($2::text[], $3::real[], $4::real[]) AS n (id, importance, was)
    JOIN memory.memories l ON l.tenant_id = $1 AND l.id = n.id AND l.importance = n.was
    ORDER BY l.id
    FOR UPDATE OF l
) AS i
WHERE m.tenant_id = $1 AND m.id = i.id
RETURNING m.id

-- name: fade
-- $4 the share that goes, $5 the floor, $6 more than this lasts, $7 recalled since then is fresh. Both importances:
-- the first one is what decay starts from.
WITH faded AS (
    UPDATE memory.memories
    SET importance = least(importance, greatest(importance * (1 - $4::real), $5::real)),
        initial_importance = least(initial_importance, greatest(initial_importance * (1 - $4::real), $5::real))
    WHERE tenant_id = $1 AND persona_id = $2 AND player_id IS NOT DISTINCT FROM $3 AND NOT pinned
        AND $4::real > 0 AND importance > $5::real AND initial_importance <= $6::real
        AND (last_accessed IS NULL OR last_accessed < $7)
    RETURNING id
)
SELECT
    (
        SELECT count(*) FROM memory.memories
        WHERE tenant_id = $1 AND persona_id = $2 AND player_id IS NOT DISTINCT FROM $3
    ) AS processed,
    (SELECT count(*) FROM faded) AS decayed

-- name: lock_pruning
-- Two that prune the same memories take turns: the figures of both are true then. The player's world before (world.sql).
SELECT
    pg_advisory_xact_lock_shared(memory.world_key($1, $3)),
    pg_advisory_xact_lock(hashtextextended(concat_ws(chr(1), 'pruning', $1::text, $2::text, $3::text), 0))

-- name: pruned_at
SELECT pruned_at FROM memory.pruned_lately WHERE tenant_id = $1 AND persona_id = $2 AND player_id = $3

-- name: count_memories
SELECT count(*) AS memories
FROM memory.memories
WHERE tenant_id = $1 AND persona_id = $2 AND player_id IS NOT DISTINCT FROM $3

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

-- name: note_pruning
-- $3 player or empty  $4 memories  $5 seconds  $6 now  $7 marks from before this are of no use any more
WITH noted AS (
    INSERT INTO memory.prunings AS p (tenant_id, persona_id, operations, memories_pruned, seconds, pruned_at)
    VALUES ($1, $2, 1, $4, $5, $6)
    ON CONFLICT (tenant_id, persona_id) DO UPDATE
        SET operations = p.operations + 1, memories_pruned = p.memories_pruned + $4, seconds = p.seconds + $5,
            pruned_at = greatest(p.pruned_at, $6)
),
outdated AS (
    DELETE FROM memory.pruned_lately
    WHERE tenant_id = $1 AND pruned_at < $7 AND (persona_id, player_id) <> ($2, $3)
)
INSERT INTO memory.pruned_lately (tenant_id, persona_id, player_id, pruned_at)
VALUES ($1, $2, $3, $6)
ON CONFLICT (tenant_id, persona_id, player_id) DO UPDATE SET pruned_at = excluded.pruned_at

-- name: note_global_prune
INSERT INTO memory.tending AS t (tenant_id, last_global_prune) VALUES ($1, $2)
ON CONFLICT (tenant_id) DO UPDATE SET last_global_prune = greatest(t.last_global_prune, $2)

-- name: note_auto_prunes
INSERT INTO memory.tending AS t (tenant_id, auto_prunes) VALUES ($1, $2)
ON CONFLICT (tenant_id) DO UPDATE SET auto_prunes = t.auto_prunes + $2

-- name: note_cycle
-- $2 now  $3 personas  $4 memories decayed  $5 by how much on average  $6 seconds
INSERT INTO memory.tending AS t (
    tenant_id, decay_cycles, memories_decayed, cycle_at, cycle_personas, cycle_decayed, cycle_average, cycle_seconds
)
VALUES ($1, 1, $4, $2, $3, $4, $5, $6)
ON CONFLICT (tenant_id) DO UPDATE
    SET decay_cycles = t.decay_cycles + 1, memories_decayed = t.memories_decayed + $4, cycle_at = $2,
        cycle_personas = $3, cycle_decayed = $4, cycle_average = $5, cycle_seconds = $6

-- name: switch
INSERT INTO memory.tending AS t (tenant_id, running) VALUES ($1, $2)
ON CONFLICT (tenant_id) DO UPDATE SET running = $2

-- name: tending
SELECT
    running, decay_cycles, memories_decayed, auto_prunes, cycle_at, cycle_personas, cycle_decayed, cycle_average,
    cycle_seconds, last_global_prune
FROM memory.tending
WHERE tenant_id = $1

-- name: prunings
SELECT persona_id, operations, memories_pruned, seconds, pruned_at
FROM memory.prunings
WHERE tenant_id = $1
ORDER BY persona_id
