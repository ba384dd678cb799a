-- What tending (decay, pruning) has done, and whether it goes on by itself: true for all replicas, and after a restart.

CREATE TABLE memory.tending (
    tenant_id         text             NOT NULL,
    -- Decay and pruning in the background; a tenant without a row has them.
    running           boolean          NOT NULL DEFAULT true,
    decay_cycles      bigint           NOT NULL DEFAULT 0,
    memories_decayed  bigint           NOT NULL DEFAULT 0,
    auto_prunes       bigint           NOT NULL DEFAULT 0,
    -- The newest cycle.
    cycle_at          timestamptz,
    cycle_personas    integer          NOT NULL DEFAULT 0,
    cycle_decayed     bigint           NOT NULL DEFAULT 0,
    -- By how much those that decayed did, on average.
    cycle_average     double precision NOT NULL DEFAULT 0,
    cycle_seconds     double precision NOT NULL DEFAULT 0,
    last_global_prune timestamptz,

    CONSTRAINT tending_pkey PRIMARY KEY (tenant_id)
);

CREATE TABLE memory.prunings (
    tenant_id       text             NOT NULL,
    persona_id      text             NOT NULL,
    operations      bigint           NOT NULL,
    memories_pruned bigint           NOT NULL,
    seconds         double precision NOT NULL,
    pruned_at       timestamptz      NOT NULL,

    CONSTRAINT prunings_pkey PRIMARY KEY (tenant_id, persona_id)
);

-- Whose memories may not be pruned again yet; a row is of no use after the pause. Empty player: the persona's own.
CREATE TABLE memory.pruned_lately (
    tenant_id  text        NOT NULL,
    persona_id text        NOT NULL,
    player_id  text        NOT NULL,
    pruned_at  timestamptz NOT NULL,

    CONSTRAINT pruned_lately_pkey PRIMARY KEY (tenant_id, persona_id, player_id)
);

-- Decay is due for each tenant by its own row.
DELETE FROM memory.upkeep WHERE name = 'decay';
