-- The statements of saves_store.py. Each names tenant and player.

-- name: allow
-- For one transaction: $1 milliseconds a statement may take.
SELECT set_config('statement_timeout', $1, true), set_config('idle_in_transaction_session_timeout', $1, true)

-- name: write_save
-- $11 the most saves of this kind that are kept besides; none is written beyond it.
WITH RECURSIVE known AS (
    (
        SELECT persona_id, conversation_id FROM memory.turns WHERE tenant_id = $1 AND player_id = $3
        ORDER BY persona_id, conversation_id LIMIT 1
    )
    UNION ALL
    SELECT n.persona_id, n.conversation_id FROM known k CROSS JOIN LATERAL (
        SELECT t.persona_id, t.conversation_id FROM memory.turns t
        WHERE t.tenant_id = $1 AND t.player_id = $3
            AND (t.persona_id, t.conversation_id) > (k.persona_id, k.conversation_id)
        ORDER BY t.persona_id, t.conversation_id LIMIT 1
    ) AS n
)
INSERT INTO memory.saves (
    tenant_id, id, player_id, session_id, principal, persona_id, persona_name, label, automatic, created_at,
    conversations, cut
)
SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, (SELECT count(*) FROM known), nextval('memory.moments')
WHERE (
    SELECT count(*) FROM memory.saves s WHERE s.tenant_id = $1 AND s.player_id = $3 AND s.automatic = $9
) < $11::integer
RETURNING *

-- name: copy_summaries
INSERT INTO memory.saved_summaries (tenant_id, save_id, persona_id, conversation_id, content, upto_position)
SELECT s.tenant_id, $3, s.persona_id, s.conversation_id, s.content, s.upto_position
FROM memory.summaries s
WHERE s.tenant_id = $1 AND s.player_id = $2 AND s.content IS NOT NULL

-- name: find_save
SELECT * FROM memory.saves WHERE tenant_id = $1 AND player_id = $2 AND id = $3

-- name: newest_save
SELECT * FROM memory.saves WHERE tenant_id = $1 AND player_id = $2 AND NOT automatic ORDER BY cut DESC LIMIT 1

-- name: list_saves
SELECT * FROM memory.saves WHERE tenant_id = $1 AND player_id = $2 ORDER BY cut DESC LIMIT $3

-- name: drop_old_automatic
-- All but the newest $3 of those that loads have made. What only they held stays put away.
DELETE FROM memory.saves
WHERE tenant_id = $1 AND player_id = $2 AND automatic AND cut <= (
    SELECT cut FROM memory.saves WHERE tenant_id = $1 AND player_id = $2 AND automatic
    ORDER BY cut DESC OFFSET $3 LIMIT 1
)

-- name: count_back
-- How many memories the load of save $3 would bring back.
SELECT count(*) AS memories
FROM memory.saves s
JOIN memory.put_away_memories p ON p.tenant_id = s.tenant_id AND p.player_id = s.player_id AND p.periods @> s.cut
WHERE s.tenant_id = $1 AND s.player_id = $2 AND s.id = $3

-- name: begin_loading
SELECT set_config('memory.loading', 'on', true)

-- name: put_turns_away
-- $3 the cut: what is in the present world and was not in that one.
DELETE FROM memory.turns WHERE tenant_id = $1 AND player_id = $2 AND since > $3 AND NOT periods @> $3::bigint

-- name: bring_turns_back
WITH back AS (
    DELETE FROM memory.put_away_turns WHERE tenant_id = $1 AND player_id = $2 AND periods @> $3::bigint RETURNING *
)
INSERT INTO memory.turns OVERRIDING SYSTEM VALUE SELECT * FROM back RETURNING message_id

-- name: put_memories_away
DELETE FROM memory.memories WHERE tenant_id = $1 AND player_id = $2 AND since > $3 AND NOT periods @> $3::bigint

-- name: bring_memories_back
WITH back AS (
    DELETE FROM memory.put_away_memories WHERE tenant_id = $1 AND player_id = $2 AND periods @> $3::bigint RETURNING *
)
INSERT INTO memory.memories SELECT * FROM back RETURNING id

-- name: own_sources
-- The book of messages points at the memories $2 that are made of them.
UPDATE memory.sources s SET memory_id = m.id
FROM memory.memories m, unnest(m.source_message_ids) AS source (message_id)
WHERE m.tenant_id = $1 AND m.id = ANY ($2::text[]) AND s.tenant_id = $1 AND s.message_id = source.message_id

-- name: restore_summaries
-- $3 the save. Every version grows: a draft that was made in the other world is refused.
WITH saved AS (
    SELECT persona_id, conversation_id, content, upto_position FROM memory.saved_summaries
    WHERE tenant_id = $1 AND save_id = $3
)
INSERT INTO memory.summaries AS s (
    tenant_id, conversation_id, persona_id, player_id, content, upto_position, version, updated_at
)
SELECT $1, k.conversation_id, k.persona_id, $2, v.content, coalesce(v.upto_position, -1), coalesce(n.version, 0) + 1, $4
FROM (
    SELECT persona_id, conversation_id FROM saved
    UNION
    SELECT persona_id, conversation_id FROM memory.summaries WHERE tenant_id = $1 AND player_id = $2
) AS k
LEFT JOIN saved v USING (persona_id, conversation_id)
LEFT JOIN memory.summaries n
    ON n.tenant_id = $1 AND n.player_id = $2 AND n.persona_id = k.persona_id AND n.conversation_id = k.conversation_id
ON CONFLICT (tenant_id, player_id, persona_id, conversation_id) DO UPDATE
    SET content = excluded.content, upto_position = excluded.upto_position, version = s.version + 1,
        updated_at = excluded.updated_at

-- name: not_remembered
-- Of the messages $2 those of which no memory was made, as they were said. Filler, of which none is, is always among them.
SELECT t.message_id FROM memory.turns t
WHERE t.tenant_id = $1 AND t.message_id = ANY ($2::text[])
    AND NOT EXISTS (SELECT 1 FROM memory.sources s WHERE s.tenant_id = $1 AND s.message_id = t.message_id)
ORDER BY t.position
