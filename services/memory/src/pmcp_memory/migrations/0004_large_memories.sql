-- What a large memory needs: search by an index of its own, which exists once upkeep has seen its size.

-- The part of visible_memories that is not this persona's with this player: small, and searched apart, so that the own
-- part can use its index.
CREATE FUNCTION memory.visible_beyond_own(tenant text, persona text, player text) RETURNS SETOF memory.memories
LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT * FROM memory.memories m
    WHERE m.tenant_id = tenant
        AND (
            (m.persona_id = persona AND m.player_id IS NULL)
            OR (m.visibility = 'shared' AND m.player_id = player AND m.persona_id <> persona)
            OR (m.visibility = 'public' AND (m.persona_id <> persona OR m.player_id <> player))
        )
$$;

-- Whose memories have an HNSW index, and its name.
CREATE TABLE memory.near_indexes (
    tenant_id  text NOT NULL,
    persona_id text NOT NULL,
    player_id  text NOT NULL,
    index_name text NOT NULL,

    CONSTRAINT near_indexes_pkey PRIMARY KEY (tenant_id, persona_id, player_id)
);
