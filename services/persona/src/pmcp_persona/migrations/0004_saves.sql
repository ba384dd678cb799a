-- The persona service's part of a save (docs/decisions/0008): how the personas stood and felt.

CREATE TABLE persona.saves (
    tenant_id text        NOT NULL,
    id        text        NOT NULL,
    player_id text        NOT NULL,
    saved_at  timestamptz NOT NULL,
    -- As saves.py writes it.
    state     jsonb       NOT NULL,

    CONSTRAINT saves_pkey PRIMARY KEY (tenant_id, id),
    CONSTRAINT saves_state_check CHECK (jsonb_typeof(state) = 'object')
);
CREATE INDEX saves_of_player ON persona.saves (tenant_id, player_id);
