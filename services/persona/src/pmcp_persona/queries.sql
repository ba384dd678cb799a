-- The statements of store.py. Every one of them names the tenant.

-- name: list_personas
-- $1 tenant, $2 player. For a player never met the columns of the state are null.
SELECT
    p.*,
    s.interest_level, s.interaction_fatigue, s.current_priority, s.available_seconds, s.social_energy,
    s.cooldown_until, s.last_updated, s.recent_interactions, s.revision
FROM persona.personas p
LEFT JOIN persona.interaction_states s
    ON s.tenant_id = p.tenant_id AND s.persona_id = p.id AND s.player_id = $2
WHERE p.tenant_id = $1
ORDER BY lower(p.name)

-- name: find_persona
-- $1 tenant, $2 player, $3 id or name. When one persona's name is another's id, the id wins.
SELECT
    p.*,
    s.interest_level, s.interaction_fatigue, s.current_priority, s.available_seconds, s.social_energy,
    s.cooldown_until, s.last_updated, s.recent_interactions, s.revision
FROM persona.personas p
LEFT JOIN persona.interaction_states s
    ON s.tenant_id = p.tenant_id AND s.persona_id = p.id AND s.player_id = $2
WHERE p.tenant_id = $1 AND (p.id = lower($3) OR lower(p.name) = lower($3))
ORDER BY p.id = lower($3) DESC
LIMIT 1

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
