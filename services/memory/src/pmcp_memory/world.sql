-- The statements of world.py. Each names tenant and player, and runs inside the caller's transaction.

-- name: hold_world
-- Alone, until the transaction ends: nobody writes into this player's world meanwhile.
SELECT pg_advisory_xact_lock(memory.world_key($1, $2))

-- name: enter_world
-- As whoever writes into it does, before any row is locked. Any number at a time.
SELECT pg_advisory_xact_lock_shared(memory.world_key($1, $2))

-- name: hold_memories
-- Of one player with one persona: writers take turns, for two that restate the same words must meet. The world before.
SELECT
    pg_advisory_xact_lock_shared(memory.world_key($1, $3)),
    pg_advisory_xact_lock(hashtextextended(concat_ws(chr(1), 'memory', $1::text, $2::text, $3::text), 0))

-- name: forget_versions
-- Of memory $4 of persona $2 and player $3, and of whatever else was made of the same messages $5.
DELETE FROM memory.put_away_memories
WHERE tenant_id = $1 AND persona_id = $2 AND player_id = $3 AND (id = $4 OR source_message_ids && $5::text[] OR learned_from && $5::text[])

-- name: sources_of_versions
-- But for those that tell another memory of the present world.
SELECT DISTINCT source AS message_id, p.thread_id
FROM memory.put_away_memories p, unnest(p.source_message_ids) AS source
WHERE p.tenant_id = $1 AND p.persona_id = $2 AND p.player_id = $3 AND p.id = $4
    AND NOT EXISTS (
        SELECT 1 FROM memory.sources s WHERE s.tenant_id = $1 AND s.message_id = source AND s.memory_id <> $4
    )

-- name: forget_turns_put_away
DELETE FROM memory.put_away_turns WHERE tenant_id = $1 AND player_id = $2 AND message_id = ANY ($3::text[])
RETURNING message_id, content

-- name: forget_echoes_put_away
-- A question of one of the texts $5 before a memory of another world. Its vector goes, too: upkeep makes one when the
-- memory is back.
UPDATE memory.put_away_memories p
SET lead_in = '', embedding_model = '',
    embedding = array_fill(0::real, ARRAY[vector_dims(p.embedding)])::public.vector::public.halfvec,
    words = memory.words_of('', p.content, coalesce(p.world_time, p.occurred_at), p.speaker)
WHERE p.tenant_id = $1 AND p.persona_id = $2 AND p.player_id = $3 AND p.thread_id = ANY ($4::text[]) AND p.lead_in <> ''
    AND EXISTS (SELECT 1 FROM unnest($5::text[]) AS said (words) WHERE strpos(said.words, p.lead_in) > 0)

-- name: forget_saved_summaries
DELETE FROM memory.saved_summaries k
USING memory.saves s
WHERE s.tenant_id = $1 AND s.player_id = $3 AND k.tenant_id = s.tenant_id AND k.save_id = s.id AND k.persona_id = $2
    AND k.conversation_id = ANY ($4::text[])

-- name: forget_all_turns
DELETE FROM memory.put_away_turns WHERE tenant_id = $1 AND player_id = $2 RETURNING message_id

-- name: forget_all_memories
DELETE FROM memory.put_away_memories WHERE tenant_id = $1 AND player_id = $2 RETURNING id

-- name: forget_saves
DELETE FROM memory.saves WHERE tenant_id = $1 AND player_id = $2
