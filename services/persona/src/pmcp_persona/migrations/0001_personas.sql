-- Personas and how each stands towards each player. Names of constraints are known to store.py.

CREATE TABLE persona.personas (
    tenant_id          text        NOT NULL,
    id                 text        NOT NULL,
    version            integer     NOT NULL DEFAULT 1,
    name               text        NOT NULL,
    description        text        NOT NULL DEFAULT '',
    personality_traits jsonb       NOT NULL DEFAULT '{}',
    topic_preferences  jsonb       NOT NULL DEFAULT '{}',
    charisma           smallint    NOT NULL DEFAULT 10,
    intelligence       smallint    NOT NULL DEFAULT 10,
    social_rank        text        NOT NULL DEFAULT 'commoner',
    priority           text        NOT NULL DEFAULT 'none',
    -- Points of social energy and seconds for one player that the rested persona has.
    energy             smallint    NOT NULL DEFAULT 100,
    available_time     integer     NOT NULL DEFAULT 300,
    background         text        NOT NULL DEFAULT '',
    speaking_style     text        NOT NULL DEFAULT '',
    fallback_lines     text[]      NOT NULL DEFAULT '{}',
    created_at         timestamptz NOT NULL DEFAULT now(),

    CONSTRAINT personas_pkey PRIMARY KEY (tenant_id, id),
    -- References are compared without case: an id has one spelling.
    CONSTRAINT personas_id_check CHECK (length(id) BETWEEN 1 AND 200 AND id = lower(id)),
    CONSTRAINT personas_name_check CHECK (length(name) BETWEEN 1 AND 200),
    CONSTRAINT personas_version_check CHECK (version >= 1),
    CONSTRAINT personas_traits_check CHECK (jsonb_typeof(personality_traits) = 'object'),
    CONSTRAINT personas_topics_check CHECK (
        jsonb_typeof(topic_preferences) = 'object'
        AND NOT jsonb_path_exists(
            topic_preferences,
            '$.* ? (@.type() != "number" || @ < 0 || @ > 100 || @ != @.floor())'
        )
    ),
    CONSTRAINT personas_charisma_check CHECK (charisma BETWEEN 1 AND 20),
    CONSTRAINT personas_intelligence_check CHECK (intelligence BETWEEN 1 AND 20),
    CONSTRAINT personas_priority_check CHECK (
        priority IN ('urgent', 'important', 'casual', 'social', 'academic', 'business', 'none')
    ),
    CONSTRAINT personas_energy_check CHECK (energy BETWEEN 0 AND 200),
    CONSTRAINT personas_available_time_check CHECK (available_time >= 0)
);

CREATE UNIQUE INDEX personas_name_key ON persona.personas (tenant_id, lower(name));

CREATE TABLE persona.interaction_states (
    tenant_id           text             NOT NULL,
    persona_id          text             NOT NULL,
    player_id           text             NOT NULL,
    -- Fractions on purpose: whole numbers would lose every step smaller than one.
    interest_level      double precision NOT NULL,
    interaction_fatigue double precision NOT NULL,
    current_priority    text             NOT NULL,
    available_seconds   double precision NOT NULL,
    social_energy       double precision NOT NULL,
    cooldown_until      timestamptz,
    last_updated        timestamptz      NOT NULL,
    -- Newest last, of bounded length: a repeated delivery is recognised by them.
    recent_interactions text[]           NOT NULL,
    -- Grows with each write: whoever writes names the revision it has read.
    revision            bigint           NOT NULL,

    CONSTRAINT interaction_states_pkey PRIMARY KEY (tenant_id, persona_id, player_id),
    CONSTRAINT interaction_states_persona_fkey FOREIGN KEY (tenant_id, persona_id)
        REFERENCES persona.personas (tenant_id, id) ON DELETE CASCADE,
    CONSTRAINT interaction_states_interest_check CHECK (interest_level BETWEEN 0 AND 100),
    CONSTRAINT interaction_states_fatigue_check CHECK (interaction_fatigue >= 0),
    CONSTRAINT interaction_states_priority_check CHECK (
        current_priority IN ('urgent', 'important', 'casual', 'social', 'academic', 'business', 'none')
    ),
    CONSTRAINT interaction_states_time_check CHECK (available_seconds >= 0),
    CONSTRAINT interaction_states_energy_check CHECK (social_energy BETWEEN 0 AND 200)
)
-- Each turn rewrites one row and no indexed column: room on the page keeps such updates off the index.
WITH (fillfactor = 80);
