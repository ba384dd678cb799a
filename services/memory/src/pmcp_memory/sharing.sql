-- The statements of sharing_store.py. Private memories are in none of them.

-- name: search_shared
-- $1 tenant  $2 persona  $3 player  $4 vector  $5 its model  $6 visibilities  $7 least importance  $8 how many
SELECT
    id, persona_id, content, 1 - (embedding <=> $4::public.vector::public.halfvec) AS similarity, importance,
    memory_type, related_personas, visibility, created_at
FROM memory.visible_memories($1, $2, $3)
WHERE visibility = ANY ($6::text[]) AND visibility <> 'private' AND importance >= $7::real AND embedding_model = $5
ORDER BY embedding <=> $4::public.vector::public.halfvec, id
LIMIT $8

-- name: shared_stats
SELECT
    persona_id,
    count(*) FILTER (WHERE visibility = 'shared') AS shared,
    count(*) FILTER (WHERE visibility = 'public') AS public,
    count(*) FILTER (WHERE related_personas <> '{}' AND NOT related_personas <@ ARRAY[persona_id]) AS cross_references
FROM memory.memories
WHERE tenant_id = $1 AND visibility IN ('shared', 'public')
GROUP BY persona_id
ORDER BY persona_id
