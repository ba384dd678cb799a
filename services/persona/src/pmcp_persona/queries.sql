-- The statements of this service. Every one of them names the tenant as $1.

-- name: list_personas
-- $2 player. For a player never met the columns of the state are null.
SELECT
    p.*,
    s.interest_level, s.interaction_fatigue, s.current_priority, s.available_seconds, s.social_energy,
    s.cooldown_until, s.last_updated, s.recent_interactions, s.revision
FROM persona.personas p
LEFT JOIN persona.interaction_states s
    ON s.tenant_id = p.tenant_id AND s.persona_id = p.id AND s.player_id = $2
WHERE p.tenant_id = $1 AND p.deleted_at IS NULL
ORDER BY lower(p.name)

-- name: find_persona
-- $2 player, $3 id or name. When one persona's name is another's id, the id wins.
SELECT
    p.*,
    s.interest_level, s.interaction_fatigue, s.current_priority, s.available_seconds, s.social_energy,
    s.cooldown_until, s.last_updated, s.recent_interactions, s.revision
FROM persona.personas p
LEFT JOIN persona.interaction_states s
    ON s.tenant_id = p.tenant_id AND s.persona_id = p.id AND s.player_id = $2
WHERE p.tenant_id = $1 AND (p.id = lower($3) OR lower(p.name) = lower($3)) AND p.deleted_at IS NULL
ORDER BY p.id = lower($3) DESC
LIMIT 1

-- name: find_for_turn
-- As find_persona; $4 is the player whose relationship with the persona comes along, null when they never met.
SELECT
    p.*,
    s.interest_level, s.interaction_fatigue, s.current_priority, s.available_seconds, s.social_energy,
    s.cooldown_until, s.last_updated, s.recent_interactions, s.revision,
    r.affinity, r.trust, r.respect, r.intimacy, r.relationship_type, r.interaction_count, r.total_seconds,
    r.talk_seconds, r.first_meeting, r.last_interaction
FROM persona.personas p
LEFT JOIN persona.interaction_states s
    ON s.tenant_id = p.tenant_id AND s.persona_id = p.id AND s.player_id = $2
LEFT JOIN persona.relationships r
    ON r.tenant_id = p.tenant_id AND r.kind = 'player' AND r.first_id = p.id AND r.second_id = $4
WHERE p.tenant_id = $1 AND (p.id = lower($3) OR lower(p.name) = lower($3)) AND p.deleted_at IS NULL
ORDER BY p.id = lower($3) DESC
LIMIT 1

-- name: hold_personas
-- $2 ids. Whoever changes what goes on inside a persona holds its row, in the order of ids, until it is done.
SELECT p.*
FROM persona.personas p
WHERE p.tenant_id = $1 AND p.id = ANY($2::text[]) AND p.deleted_at IS NULL
ORDER BY p.id
FOR NO KEY UPDATE

-- name: insert_persona
INSERT INTO persona.personas AS p (
    tenant_id, id, name, full_name, description, personality_traits, topic_preferences, charisma, intelligence,
    social_rank, priority, energy, available_time, background, backstory, speaking_style, interests, goals, extras,
    fallback_lines, created_at
) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21)
RETURNING p.*

-- name: update_persona
UPDATE persona.personas AS p SET
    name = $3, full_name = $4, description = $5, personality_traits = $6, topic_preferences = $7, charisma = $8,
    intelligence = $9, social_rank = $10, priority = $11, energy = $12, available_time = $13, background = $14,
    backstory = $15, speaking_style = $16, interests = $17, goals = $18, extras = $19, fallback_lines = $20,
    version = p.version + 1
WHERE p.tenant_id = $1 AND p.id = $2 AND p.deleted_at IS NULL
RETURNING p.*

-- name: delete_persona
-- Its history stays; a state towards someone it no longer answers does too.
UPDATE persona.personas AS p SET deleted_at = $3, version = p.version + 1
WHERE p.tenant_id = $1 AND p.id = $2 AND p.deleted_at IS NULL
RETURNING p.id, p.name

-- name: write_standing
-- $12 is the revision the new values were made from, 0 for none; no row comes back when another was faster.
INSERT INTO persona.interaction_states AS s (
    tenant_id, persona_id, player_id, interest_level, interaction_fatigue, current_priority, available_seconds,
    social_energy, cooldown_until, last_updated, recent_interactions, revision
) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12::bigint + 1)
ON CONFLICT (tenant_id, persona_id, player_id) DO UPDATE SET
    interest_level = excluded.interest_level,
    interaction_fatigue = excluded.interaction_fatigue,
    current_priority = excluded.current_priority,
    available_seconds = excluded.available_seconds,
    social_energy = excluded.social_energy,
    cooldown_until = excluded.cooldown_until,
    last_updated = excluded.last_updated,
    recent_interactions = excluded.recent_interactions,
    revision = excluded.revision
WHERE s.revision = $12::bigint
RETURNING s.revision

-- name: read_relationship
-- $2 kind, $3 first, $4 second.
SELECT r.*
FROM persona.relationships r
WHERE r.tenant_id = $1 AND r.kind = $2 AND r.first_id = $3 AND r.second_id = $4

-- name: write_relationship
INSERT INTO persona.relationships (
    tenant_id, kind, first_id, second_id, affinity, trust, respect, intimacy, relationship_type, interaction_count,
    total_seconds, talk_seconds, first_meeting, last_interaction
) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)
ON CONFLICT (tenant_id, kind, first_id, second_id) DO UPDATE SET
    affinity = excluded.affinity,
    trust = excluded.trust,
    respect = excluded.respect,
    intimacy = excluded.intimacy,
    relationship_type = excluded.relationship_type,
    interaction_count = excluded.interaction_count,
    total_seconds = excluded.total_seconds,
    talk_seconds = excluded.talk_seconds,
    last_interaction = excluded.last_interaction

-- name: find_relationship_event
-- $5 cause.
SELECT 1
FROM persona.relationship_events e
WHERE e.tenant_id = $1 AND e.kind = $2 AND e.first_id = $3 AND e.second_id = $4 AND e.cause_id = $5

-- name: insert_relationship_event
INSERT INTO persona.relationship_events (
    tenant_id, kind, first_id, second_id, cause_id, user_message_id, happened_at, quality, duration_seconds, context,
    affinity_change, trust_change, respect_change, intimacy_change, relationship_type
) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)

-- name: forget_relationship_events
-- $5 how many of the newest stay.
DELETE FROM persona.relationship_events e
WHERE e.tenant_id = $1 AND e.kind = $2 AND e.first_id = $3 AND e.second_id = $4 AND e.number <= (
    SELECT n.number
    FROM persona.relationship_events n
    WHERE n.tenant_id = $1 AND n.kind = $2 AND n.first_id = $3 AND n.second_id = $4
    ORDER BY n.number DESC OFFSET $5 LIMIT 1
)

-- name: list_relationship_events
-- $5 how many, newest first.
SELECT e.*
FROM persona.relationship_events e
WHERE e.tenant_id = $1 AND e.kind = $2 AND e.first_id = $3 AND e.second_id = $4
ORDER BY e.number DESC
LIMIT $5

-- name: count_relationship_events
-- $5 since when.
SELECT count(*) AS events
FROM persona.relationship_events e
WHERE e.tenant_id = $1 AND e.kind = $2 AND e.first_id = $3 AND e.second_id = $4 AND e.happened_at > $5

-- name: list_relationships
-- $2 persona, $3 how many. Those with other personas that still exist, with the other's id and name.
SELECT r.*, p.id AS other_id, p.name AS other_name
FROM persona.relationships r
JOIN persona.personas p
    ON p.tenant_id = r.tenant_id AND p.deleted_at IS NULL
    AND p.id = CASE WHEN r.first_id = $2 THEN r.second_id ELSE r.first_id END
WHERE r.tenant_id = $1 AND r.kind = 'persona' AND (r.first_id = $2 OR r.second_id = $2)
ORDER BY abs(0.4 * r.affinity + 0.3 * r.trust + 0.2 * r.respect) DESC, lower(p.name)
LIMIT $3

-- name: count_relationships
-- By kind and type; compatibility as relationship.py has it. Those of deleted personas do not count.
SELECT
    r.kind, r.relationship_type, count(*) AS pairs, sum(r.interaction_count) AS interactions,
    sum(greatest(0, least(1,
        (0.3 * r.affinity + 0.25 * r.trust + 0.25 * r.respect + CASE WHEN r.affinity >= 0 THEN 0.2 * r.intimacy ELSE 0 END)
        * CASE WHEN r.affinity > 0 AND r.trust > 0 THEN 1.2 ELSE 1 END
    ))) AS compatibility
FROM persona.relationships r
JOIN persona.personas p ON p.tenant_id = r.tenant_id AND p.id = r.first_id AND p.deleted_at IS NULL
LEFT JOIN persona.personas q
    ON r.kind = 'persona' AND q.tenant_id = r.tenant_id AND q.id = r.second_id AND q.deleted_at IS NULL
WHERE r.tenant_id = $1 AND (r.kind = 'player' OR q.id IS NOT NULL)
GROUP BY r.kind, r.relationship_type

-- name: list_most_active
-- $2 how many. Each relationship counts for both of its personas; those of deleted ones do not.
SELECT p.id AS persona_id, sum(r.interaction_count) AS interactions
FROM persona.relationships r
JOIN persona.personas p
    ON p.tenant_id = r.tenant_id AND p.id IN (r.first_id, r.second_id) AND p.deleted_at IS NULL
JOIN persona.personas q
    ON q.tenant_id = r.tenant_id AND q.id IN (r.first_id, r.second_id) AND q.id <> p.id AND q.deleted_at IS NULL
WHERE r.tenant_id = $1 AND r.kind = 'persona'
GROUP BY p.id, p.name
HAVING sum(r.interaction_count) > 0
ORDER BY interactions DESC, lower(p.name)
LIMIT $2

-- name: read_emotion
-- $2 persona.
SELECT e.*
FROM persona.emotions e
WHERE e.tenant_id = $1 AND e.persona_id = $2

-- name: write_emotion
INSERT INTO persona.emotions (
    tenant_id, persona_id, mood, energy_level, stress_level, curiosity, social_battery, last_updated
) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
ON CONFLICT (tenant_id, persona_id) DO UPDATE SET
    mood = excluded.mood,
    energy_level = excluded.energy_level,
    stress_level = excluded.stress_level,
    curiosity = excluded.curiosity,
    social_battery = excluded.social_battery,
    last_updated = excluded.last_updated

-- name: find_emotion_event
-- $2 persona, $3 cause.
SELECT 1 FROM persona.emotion_events e WHERE e.tenant_id = $1 AND e.persona_id = $2 AND e.cause_id = $3

-- name: insert_emotion_event
INSERT INTO persona.emotion_events (tenant_id, persona_id, cause_id, cause, player_id, happened_at, changes)
VALUES ($1, $2, $3, $4, $5, $6, $7)

-- name: forget_emotion_events
-- $3 how many of the newest stay.
DELETE FROM persona.emotion_events e
WHERE e.tenant_id = $1 AND e.persona_id = $2 AND e.number <= (
    SELECT n.number
    FROM persona.emotion_events n
    WHERE n.tenant_id = $1 AND n.persona_id = $2
    ORDER BY n.number DESC OFFSET $3 LIMIT 1
)

-- name: list_emotion_events
-- $3 how many, newest first.
SELECT e.*
FROM persona.emotion_events e
WHERE e.tenant_id = $1 AND e.persona_id = $2
ORDER BY e.number DESC
LIMIT $3

-- name: hold_all_personas
-- As hold_personas, every one of the tenant.
SELECT p.*
FROM persona.personas p
WHERE p.tenant_id = $1 AND p.deleted_at IS NULL
ORDER BY p.id
FOR NO KEY UPDATE

-- name: list_standings
-- $2 towards whom. Of living personas.
SELECT s.*
FROM persona.interaction_states s
JOIN persona.personas p ON p.tenant_id = s.tenant_id AND p.id = s.persona_id AND p.deleted_at IS NULL
WHERE s.tenant_id = $1 AND s.player_id = ANY($2::text[])

-- name: list_bonds
-- $2 player. Those of living personas with each other, and with this player.
SELECT r.*
FROM persona.relationships r
JOIN persona.personas p ON p.tenant_id = r.tenant_id AND p.id = r.first_id AND p.deleted_at IS NULL
LEFT JOIN persona.personas q
    ON r.kind = 'persona' AND q.tenant_id = r.tenant_id AND q.id = r.second_id AND q.deleted_at IS NULL
WHERE r.tenant_id = $1 AND (CASE r.kind WHEN 'player' THEN r.second_id = $2 ELSE q.id IS NOT NULL END)

-- name: list_feelings
SELECT e.*
FROM persona.emotions e
JOIN persona.personas p ON p.tenant_id = e.tenant_id AND p.id = e.persona_id AND p.deleted_at IS NULL
WHERE e.tenant_id = $1

-- name: delete_relationship
DELETE FROM persona.relationships r WHERE r.tenant_id = $1 AND r.kind = $2 AND r.first_id = $3 AND r.second_id = $4

-- name: insert_save
INSERT INTO persona.saves (tenant_id, id, player_id, saved_at, state)
VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (tenant_id, id) DO NOTHING
RETURNING id

-- name: find_save
-- $2 id, $3 player.
SELECT s.saved_at, s.state FROM persona.saves s WHERE s.tenant_id = $1 AND s.id = $2 AND s.player_id = $3

-- name: delete_saves
-- $2 player.
DELETE FROM persona.saves s WHERE s.tenant_id = $1 AND s.player_id = $2 RETURNING s.id

-- name: delete_standings
-- $2 player.
DELETE FROM persona.interaction_states s WHERE s.tenant_id = $1 AND s.player_id = $2 RETURNING s.persona_id

-- name: delete_bonds_with
-- $2 player. With what moved them.
DELETE FROM persona.relationships r
WHERE r.tenant_id = $1 AND r.kind = 'player' AND r.second_id = $2
RETURNING r.first_id

-- name: delete_emotion_events_with
-- $2 player. The mood stays, why it is so does not.
DELETE FROM persona.emotion_events e WHERE e.tenant_id = $1 AND e.player_id = $2
