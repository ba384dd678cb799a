-- Everything a persona may say of itself, deleting without losing, relationships, moods, and what moved them.

ALTER TABLE persona.personas
    ADD COLUMN full_name  text        NOT NULL DEFAULT '',
    ADD COLUMN backstory  text        NOT NULL DEFAULT '',
    ADD COLUMN interests  text[]      NOT NULL DEFAULT '{}',
    ADD COLUMN goals      text[]      NOT NULL DEFAULT '{}',
    ADD COLUMN extras     jsonb       NOT NULL DEFAULT '{}',
    ADD COLUMN deleted_at timestamptz,
    ADD CONSTRAINT personas_extras_check CHECK (jsonb_typeof(extras) = 'object');

-- The name of a deleted persona is free again.
DROP INDEX persona.personas_name_key;
CREATE UNIQUE INDEX personas_name_key ON persona.personas (tenant_id, lower(name)) WHERE deleted_at IS NULL;

-- Between two personas (`kind` persona, the lesser id first) or a persona and a player (`kind` player).
CREATE TABLE persona.relationships (
    tenant_id         text             NOT NULL,
    kind              text             NOT NULL,
    first_id          text             NOT NULL,
    second_id         text             NOT NULL,
    affinity          double precision NOT NULL,
    trust             double precision NOT NULL,
    respect           double precision NOT NULL,
    intimacy          double precision NOT NULL,
    relationship_type text             NOT NULL,
    interaction_count integer          NOT NULL,
    total_seconds     double precision NOT NULL,
    talk_seconds      double precision NOT NULL,
    first_meeting     timestamptz      NOT NULL,
    last_interaction  timestamptz      NOT NULL,

    CONSTRAINT relationships_pkey PRIMARY KEY (tenant_id, kind, first_id, second_id),
    CONSTRAINT relationships_first_fkey FOREIGN KEY (tenant_id, first_id)
        REFERENCES persona.personas (tenant_id, id) ON DELETE CASCADE,
    CONSTRAINT relationships_kind_check CHECK (kind IN ('persona', 'player')),
    CONSTRAINT relationships_order_check CHECK (kind = 'player' OR first_id COLLATE "C" < second_id COLLATE "C"),
    CONSTRAINT relationships_range_check CHECK (
        affinity BETWEEN -1 AND 1 AND trust BETWEEN -1 AND 1 AND respect BETWEEN -1 AND 1
        AND intimacy BETWEEN 0 AND 1 AND interaction_count >= 0 AND total_seconds >= 0 AND talk_seconds >= 0
    ),
    CONSTRAINT relationships_type_check CHECK (
        relationship_type IN ('stranger', 'acquaintance', 'friend', 'close_friend', 'rival', 'enemy', 'mentor',
                              'student', 'romantic', 'family')
    )
)
WITH (fillfactor = 80);

CREATE INDEX relationships_second ON persona.relationships (tenant_id, second_id) WHERE kind = 'persona';

-- What moved them: of bounded length, the oldest go.
CREATE TABLE persona.relationship_events (
    number            bigint           GENERATED ALWAYS AS IDENTITY,
    tenant_id         text             NOT NULL,
    kind              text             NOT NULL,
    first_id          text             NOT NULL,
    second_id         text             NOT NULL,
    cause_id          text             NOT NULL,
    user_message_id   text,
    happened_at       timestamptz      NOT NULL,
    quality           double precision NOT NULL,
    duration_seconds  double precision NOT NULL,
    context           text             NOT NULL,
    affinity_change   double precision NOT NULL,
    trust_change      double precision NOT NULL,
    respect_change    double precision NOT NULL,
    intimacy_change   double precision NOT NULL,
    relationship_type text             NOT NULL,

    CONSTRAINT relationship_events_pkey PRIMARY KEY (tenant_id, kind, first_id, second_id, cause_id),
    CONSTRAINT relationship_events_relationship_fkey FOREIGN KEY (tenant_id, kind, first_id, second_id)
        REFERENCES persona.relationships (tenant_id, kind, first_id, second_id) ON DELETE CASCADE
);

CREATE INDEX relationship_events_newest
    ON persona.relationship_events (tenant_id, kind, first_id, second_id, number DESC);

CREATE TABLE persona.emotions (
    tenant_id      text             NOT NULL,
    persona_id     text             NOT NULL,
    mood           double precision NOT NULL,
    energy_level   double precision NOT NULL,
    stress_level   double precision NOT NULL,
    curiosity      double precision NOT NULL,
    social_battery double precision NOT NULL,
    last_updated   timestamptz      NOT NULL,

    CONSTRAINT emotions_pkey PRIMARY KEY (tenant_id, persona_id),
    CONSTRAINT emotions_persona_fkey FOREIGN KEY (tenant_id, persona_id)
        REFERENCES persona.personas (tenant_id, id) ON DELETE CASCADE,
    CONSTRAINT emotions_range_check CHECK (
        mood BETWEEN -1 AND 1 AND energy_level BETWEEN 0 AND 1 AND stress_level BETWEEN 0 AND 1
        AND curiosity BETWEEN 0 AND 1 AND social_battery BETWEEN 0 AND 1
    )
)
WITH (fillfactor = 80);

CREATE TABLE persona.emotion_events (
    number      bigint      GENERATED ALWAYS AS IDENTITY,
    tenant_id   text        NOT NULL,
    persona_id  text        NOT NULL,
    cause_id    text        NOT NULL,
    cause       text        NOT NULL,
    -- With whom it happened: only this player is shown its cause. Null: nobody in particular.
    player_id   text,
    happened_at timestamptz NOT NULL,
    changes     jsonb       NOT NULL,

    CONSTRAINT emotion_events_pkey PRIMARY KEY (tenant_id, persona_id, cause_id),
    CONSTRAINT emotion_events_emotion_fkey FOREIGN KEY (tenant_id, persona_id)
        REFERENCES persona.emotions (tenant_id, persona_id) ON DELETE CASCADE
);

CREATE INDEX emotion_events_newest ON persona.emotion_events (tenant_id, persona_id, number DESC);
