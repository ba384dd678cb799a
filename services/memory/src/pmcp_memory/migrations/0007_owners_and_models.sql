-- Whose a text is says its persona and player, never its conversation's id alone; vectors of any model's dimension.

-- A summary is of what one player and one persona said. That of a conversation id which several share stays with those
-- whose turns it ends with; the others' begin anew.
ALTER TABLE memory.summaries
    DROP CONSTRAINT summaries_pkey,
    ADD COLUMN persona_id text,
    ADD COLUMN player_id text;
UPDATE memory.summaries s
SET persona_id = t.persona_id, player_id = t.player_id
FROM memory.turns t
WHERE t.tenant_id = s.tenant_id AND t.conversation_id = s.conversation_id AND t.position = s.upto_position;
-- An emptied one keeps its version for each of them: it refuses drafts made before.
INSERT INTO memory.summaries (tenant_id, conversation_id, content, upto_position, version, updated_at, persona_id, player_id)
SELECT DISTINCT s.tenant_id, s.conversation_id, NULL, -1, s.version, s.updated_at, t.persona_id, t.player_id
FROM memory.summaries s
JOIN memory.turns t ON t.tenant_id = s.tenant_id AND t.conversation_id = s.conversation_id
WHERE s.player_id IS NULL;
DELETE FROM memory.summaries WHERE player_id IS NULL;
ALTER TABLE memory.summaries
    ALTER COLUMN persona_id SET NOT NULL,
    ALTER COLUMN player_id SET NOT NULL,
    ADD CONSTRAINT summaries_pkey PRIMARY KEY (tenant_id, player_id, persona_id, conversation_id);

-- Player first: the same index finds all of a player, to export and to erase.
DROP INDEX memory.turns_of_conversation;
CREATE INDEX turns_of_conversation ON memory.turns (tenant_id, player_id, persona_id, conversation_id, position DESC);
DROP INDEX memory.memories_of_player;
CREATE INDEX memories_of_player ON memory.memories (tenant_id, player_id, persona_id);
DROP INDEX memory.memories_by_birth;
DELETE FROM memory.upkeep WHERE name = 'restated';

-- What became part of a memory when memories were merged: their texts, times and message ids.
ALTER TABLE memory.memories ADD COLUMN merged_from jsonb NOT NULL DEFAULT '[]';

-- Where a world has a clock of its own, memories age by it: the world's time at the last recall, and the newest there is.
ALTER TABLE memory.memories ADD COLUMN accessed_world_time timestamptz;
CREATE INDEX memories_by_world_time ON memory.memories (tenant_id, persona_id, player_id, world_time)
    WHERE world_time IS NOT NULL;

-- Indexes of a column without dimension are of an expression: upkeep makes them anew.
DO $$
DECLARE
    name text;
BEGIN
    FOR name IN SELECT index_name FROM memory.near_indexes LOOP
        EXECUTE format('DROP INDEX IF EXISTS memory.%I', name);
    END LOOP;
END
$$;
DROP TABLE memory.near_indexes;
-- Whose memories have an HNSW index over the vectors of which model, and its name.
CREATE TABLE memory.near_indexes (
    tenant_id       text    NOT NULL,
    persona_id      text    NOT NULL,
    player_id       text    NOT NULL,
    embedding_model text    NOT NULL,
    index_name      text    NOT NULL,

    CONSTRAINT near_indexes_pkey PRIMARY KEY (tenant_id, persona_id, player_id, embedding_model)
);
ALTER TABLE memory.memories ALTER COLUMN embedding TYPE public.halfvec;

-- One name, one dimension: vectors of a model can be compared with each other, whoever made them.
CREATE TABLE memory.embedding_models (
    name      text    NOT NULL,
    dimension integer NOT NULL,

    CONSTRAINT embedding_models_pkey PRIMARY KEY (name)
);
-- These were asked for 384 dimensions, which their names say from now on.
UPDATE memory.memories SET embedding_model = embedding_model || '/384' WHERE embedding_model LIKE 'openai/%';
INSERT INTO memory.embedding_models (name, dimension) SELECT DISTINCT embedding_model, 384 FROM memory.memories;

-- The model whose vectors all memories get. One row: two replicas with different models would else embed each other's
-- memories anew for ever.
CREATE TABLE memory.agreed_model (
    only_one   boolean     NOT NULL DEFAULT true,
    name       text        NOT NULL,
    -- Renewed by every replica that has it; when it has passed, a replica with another model takes over.
    held_until timestamptz NOT NULL,
    agreed_at  timestamptz NOT NULL,

    CONSTRAINT agreed_model_pkey PRIMARY KEY (only_one),
    CONSTRAINT agreed_model_only_one_check CHECK (only_one)
);

-- Each way to see a memory by an index of its own: that of the persona alone would read all its players' memories.
CREATE OR REPLACE FUNCTION memory.visible_memories(tenant text, persona text, player text) RETURNS SETOF memory.memories
LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT * FROM memory.memories m
    WHERE (m.tenant_id = tenant AND m.player_id = player AND m.persona_id = persona)
        OR (m.tenant_id = tenant AND m.player_id IS NULL AND m.persona_id = persona)
        OR (m.tenant_id = tenant AND m.player_id = player AND m.visibility = 'shared')
        OR (m.tenant_id = tenant AND m.visibility = 'public')
$$;
CREATE OR REPLACE FUNCTION memory.visible_beyond_own(tenant text, persona text, player text) RETURNS SETOF memory.memories
LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT * FROM memory.memories m
    WHERE (m.tenant_id = tenant AND m.player_id IS NULL AND m.persona_id = persona)
        OR (m.tenant_id = tenant AND m.player_id = player AND m.visibility = 'shared' AND m.persona_id <> persona)
        OR (
            m.tenant_id = tenant AND m.visibility = 'public' AND (m.persona_id <> persona OR m.player_id <> player)
        )
$$;
