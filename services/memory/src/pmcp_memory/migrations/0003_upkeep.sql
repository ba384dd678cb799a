-- Background work: who does it now, and how far it got. One row a kind of work.

CREATE TABLE memory.upkeep (
    name       text        NOT NULL,
    -- Of one replica's process; another takes over when `held_until` (the database's time) has passed.
    holder     text,
    held_until timestamptz NOT NULL DEFAULT 'epoch',
    done_at    timestamptz NOT NULL DEFAULT 'epoch',

    CONSTRAINT upkeep_pkey PRIMARY KEY (name)
);
INSERT INTO memory.upkeep (name) VALUES ('upkeep'), ('decay'), ('prune'), ('restated');

-- Ids of those to look at: of another model, made since the last look.
CREATE INDEX memories_of_model ON memory.memories (embedding_model);
CREATE INDEX memories_by_birth ON memory.memories (created_at);
