-- A memory whose words were said again shows the later time; as of a time between the two it was known already.

ALTER TABLE memory.memories ADD COLUMN first_occurred_at timestamptz;
ALTER TABLE memory.put_away_memories ADD COLUMN first_occurred_at timestamptz;

-- Merged by a client: its own text was said at its own time, whatever its sources are.
UPDATE memory.memories m
SET first_occurred_at = said.at
FROM (
    SELECT s.tenant_id, s.id, min(t.created_at) AS at
    FROM memory.memories s
    JOIN memory.turns t ON t.tenant_id = s.tenant_id AND t.message_id = ANY (s.source_message_ids)
    WHERE cardinality(s.source_message_ids) > 1 AND s.merged_from = '[]'
    GROUP BY s.tenant_id, s.id
) AS said
WHERE m.tenant_id = said.tenant_id AND m.id = said.id AND said.at < m.occurred_at;
