-- What was said (turns, summaries) and what is remembered of it (memories). Names of constraints are known to store.py.

CREATE EXTENSION IF NOT EXISTS vector WITH SCHEMA public;

CREATE TABLE memory.turns (
    tenant_id       text        NOT NULL,
    message_id      text        NOT NULL,
    conversation_id text        NOT NULL,
    persona_id      text        NOT NULL,
    player_id       text        NOT NULL,
    role            text        NOT NULL,
    content         text        NOT NULL,
    created_at      timestamptz NOT NULL,
    -- Request id, model, finish reason …: for people who look into one turn.
    metadata        jsonb       NOT NULL DEFAULT '{}',
    -- The order of a conversation: stamps of two machines may cross, a worker commits one turn after the other.
    position        bigint      GENERATED ALWAYS AS IDENTITY,

    CONSTRAINT turns_pkey PRIMARY KEY (tenant_id, message_id),
    CONSTRAINT turns_message_id_check CHECK (length(message_id) BETWEEN 1 AND 200),
    CONSTRAINT turns_conversation_id_check CHECK (length(conversation_id) BETWEEN 1 AND 200),
    CONSTRAINT turns_persona_id_check CHECK (length(persona_id) BETWEEN 1 AND 200),
    CONSTRAINT turns_player_id_check CHECK (length(player_id) BETWEEN 1 AND 200),
    CONSTRAINT turns_role_check CHECK (role IN ('user', 'assistant')),
    CONSTRAINT turns_content_check CHECK (octet_length(content) BETWEEN 1 AND 32768),
    CONSTRAINT turns_metadata_check CHECK (jsonb_typeof(metadata) = 'object')
);

CREATE INDEX turns_of_conversation ON memory.turns (tenant_id, conversation_id, position DESC);

-- One summary a conversation: of the turns up to and including `upto_position`.
CREATE TABLE memory.summaries (
    tenant_id       text        NOT NULL,
    conversation_id text        NOT NULL,
    content         text        NOT NULL,
    upto_position   bigint      NOT NULL,
    version         integer     NOT NULL DEFAULT 1,
    updated_at      timestamptz NOT NULL DEFAULT now(),

    CONSTRAINT summaries_pkey PRIMARY KEY (tenant_id, conversation_id),
    CONSTRAINT summaries_content_check CHECK (octet_length(content) BETWEEN 1 AND 32768),
    CONSTRAINT summaries_version_check CHECK (version >= 1)
);

CREATE TABLE memory.memories (
    tenant_id          text        NOT NULL,
    id                 text        NOT NULL,
    persona_id         text        NOT NULL,
    -- NULL: what the persona knows by itself, the same for every player.
    player_id          text,
    content            text        NOT NULL,
    memory_type        text        NOT NULL,
    importance         real        NOT NULL DEFAULT 0.5,
    emotional_valence  real        NOT NULL DEFAULT 0,
    related_personas   text[]      NOT NULL DEFAULT '{}',
    visibility         text        NOT NULL DEFAULT 'private',
    metadata           jsonb       NOT NULL DEFAULT '{}',
    -- What this was made of: empty for a memory that a client stored.
    source_message_ids text[]      NOT NULL DEFAULT '{}',
    -- Making the same memory of the same source again stores nothing; NULL: it has no source.
    source_key         text,
    embedding          public.vector(384) NOT NULL,
    -- Vectors of different models are not comparable: recall only looks at those of its own.
    embedding_model    text        NOT NULL,
    occurred_at        timestamptz NOT NULL,
    created_at         timestamptz NOT NULL DEFAULT now(),
    accessed_count     integer     NOT NULL DEFAULT 0,
    last_accessed      timestamptz,

    CONSTRAINT memories_pkey PRIMARY KEY (tenant_id, id),
    CONSTRAINT memories_source_key UNIQUE (tenant_id, source_key),
    CONSTRAINT memories_id_check CHECK (length(id) BETWEEN 1 AND 200),
    CONSTRAINT memories_persona_id_check CHECK (length(persona_id) BETWEEN 1 AND 200),
    CONSTRAINT memories_player_id_check CHECK (length(player_id) BETWEEN 1 AND 200),
    CONSTRAINT memories_content_check CHECK (octet_length(content) BETWEEN 1 AND 32768),
    CONSTRAINT memories_type_check CHECK (memory_type ~ '^[a-z][a-z0-9_]{0,49}$'),
    CONSTRAINT memories_importance_check CHECK (importance BETWEEN 0 AND 1),
    CONSTRAINT memories_valence_check CHECK (emotional_valence BETWEEN -1 AND 1),
    CONSTRAINT memories_visibility_check CHECK (visibility IN ('private', 'shared', 'public')),
    CONSTRAINT memories_metadata_check CHECK (jsonb_typeof(metadata) = 'object'),
    CONSTRAINT memories_accessed_check CHECK (accessed_count >= 0)
);

CREATE INDEX memories_of_player ON memory.memories (tenant_id, persona_id, player_id);
