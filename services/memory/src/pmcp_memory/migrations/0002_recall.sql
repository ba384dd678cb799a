-- What recall weighs besides meaning: the words, who spoke, what stands around, when it was; and a memory's own life.

ALTER TABLE memory.memories
    -- A run of memories in their order: a conversation. A memory that stands alone is a thread of its own.
    ADD COLUMN thread_id          text,
    ADD COLUMN ordinal            integer NOT NULL DEFAULT 0,
    -- Number of the sitting within the thread: neighbours of another day are no neighbours.
    ADD COLUMN episode            integer NOT NULL DEFAULT 0,
    -- 'player' or 'persona': whom "I" and "you" of a question mean. NULL: nobody's words.
    ADD COLUMN said_by            text,
    ADD COLUMN speaker            text,
    -- The question this answers, in the words of the turn before.
    ADD COLUMN lead_in            text NOT NULL DEFAULT '',
    -- Bits of cues.py.
    ADD COLUMN cues               integer NOT NULL DEFAULT 0,
    ADD COLUMN words              tsvector NOT NULL DEFAULT '',
    ADD COLUMN participants       text[] NOT NULL DEFAULT '{}',
    ADD COLUMN session_id         text,
    ADD COLUMN world_time         timestamptz,
    ADD COLUMN pinned             boolean NOT NULL DEFAULT false,
    -- What decay starts from: the present importance is a function of it, so decaying twice changes nothing.
    ADD COLUMN initial_importance real,
    ADD COLUMN updated_at         timestamptz,
    ADD CONSTRAINT memories_said_by_check CHECK (said_by IN ('player', 'persona')),
    ADD CONSTRAINT memories_initial_importance_check CHECK (initial_importance BETWEEN 0 AND 1),
    -- Half precision: half the pages to read, and the order of neighbours stays (docs/memory.md).
    ALTER COLUMN embedding TYPE public.halfvec(384) USING embedding::public.halfvec(384);

-- What full text search sees of a memory: question before it, text, date, who spoke.
CREATE FUNCTION memory.words_of(lead_in text, content text, at timestamptz, speaker text) RETURNS tsvector
LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT to_tsvector('english', concat_ws(' ', lead_in, content, to_char(at AT TIME ZONE 'UTC', 'FMDD FMMonth YYYY'), speaker))
$$;

UPDATE memory.memories m
SET thread_id = coalesce(t.conversation_id, m.id), ordinal = coalesce(t.ordinal, 0),
    said_by = CASE t.role WHEN 'user' THEN 'player' WHEN 'assistant' THEN 'persona' END,
    initial_importance = m.importance, updated_at = m.created_at,
    words = memory.words_of('', m.content, m.occurred_at, NULL)
FROM memory.memories same
LEFT JOIN (
    SELECT tenant_id, message_id, conversation_id, role,
        (row_number() OVER (PARTITION BY tenant_id, conversation_id ORDER BY position))::integer AS ordinal
    FROM memory.turns
) AS t ON t.tenant_id = same.tenant_id AND t.message_id = same.source_message_ids[1]
WHERE m.tenant_id = same.tenant_id AND m.id = same.id;

ALTER TABLE memory.memories
    ALTER COLUMN thread_id SET NOT NULL,
    ALTER COLUMN initial_importance SET NOT NULL,
    ALTER COLUMN updated_at SET NOT NULL,
    ALTER COLUMN updated_at SET DEFAULT now(),
    -- A vector moved out of its row costs a second read for each candidate.
    SET (toast_tuple_target = 8160);

CREATE INDEX memories_of_thread ON memory.memories (tenant_id, thread_id, ordinal);
CREATE INDEX memories_words ON memory.memories USING gin (words);
CREATE INDEX memories_shared ON memory.memories (tenant_id, player_id) WHERE visibility = 'shared';
CREATE INDEX memories_public ON memory.memories (tenant_id) WHERE visibility = 'public';
CREATE INDEX memories_of_sources ON memory.memories USING gin (source_message_ids);

-- The one place that says who may see what. Private: this persona and this player (or the persona itself, for what
-- has no player). Shared: every persona, when this player asks. Public: everybody of the tenant.
CREATE FUNCTION memory.visible_memories(tenant text, persona text, player text) RETURNS SETOF memory.memories
LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT * FROM memory.memories m
    WHERE m.tenant_id = tenant
        AND (
            (m.persona_id = persona AND (m.player_id = player OR m.player_id IS NULL))
            OR (m.visibility = 'shared' AND m.player_id = player)
            OR m.visibility = 'public'
        )
$$;

-- The same words said again are one memory with two sources (restating.py).
ALTER TABLE memory.memories ADD COLUMN wording_key text;
CREATE INDEX memories_of_wording ON memory.memories (tenant_id, persona_id, player_id, wording_key);

-- What was remembered of each message, so that remembering it again changes nothing.
CREATE TABLE memory.sources (
    tenant_id  text NOT NULL,
    message_id text NOT NULL,
    -- NULL: it was forgotten, and is not learned again.
    memory_id  text,

    CONSTRAINT sources_pkey PRIMARY KEY (tenant_id, message_id),
    CONSTRAINT sources_memory_fkey FOREIGN KEY (tenant_id, memory_id)
        REFERENCES memory.memories (tenant_id, id) ON DELETE SET NULL (memory_id)
);
CREATE INDEX sources_of_memory ON memory.sources (tenant_id, memory_id);
INSERT INTO memory.sources (tenant_id, message_id, memory_id)
SELECT tenant_id, source_message_ids[1], id FROM memory.memories WHERE cardinality(source_message_ids) > 0
ON CONFLICT DO NOTHING;
