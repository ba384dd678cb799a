-- What a model learned from turns. Not `source_message_ids`: a turn is the source of one memory, which owns its words;
-- this is made of many turns, goes when one of them goes, and takes none with it.

ALTER TABLE memory.memories ADD COLUMN learned_from text[] NOT NULL DEFAULT '{}';
ALTER TABLE memory.put_away_memories ADD COLUMN learned_from text[] NOT NULL DEFAULT '{}';
CREATE INDEX memories_learned_from ON memory.memories USING gin (learned_from) WHERE learned_from <> '{}';

-- Whether a model was asked about a turn, and its answer kept.
ALTER TABLE memory.turns ADD COLUMN learned boolean NOT NULL DEFAULT false;
ALTER TABLE memory.put_away_turns ADD COLUMN learned boolean NOT NULL DEFAULT false;
CREATE INDEX turns_to_learn ON memory.turns (tenant_id, conversation_id, position) WHERE NOT learned;

-- As before (0009), and what was learned from turns belongs to the world of the newest of them.
CREATE OR REPLACE FUNCTION memory.enter_memory() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    source record;
BEGIN
    IF NEW.player_id IS NULL THEN
        RETURN NEW;
    END IF;
    IF memory.is_loading() THEN
        NEW.since := nextval('memory.moments');
        RETURN NEW;
    END IF;
    PERFORM pg_advisory_xact_lock_shared(memory.world_key(NEW.tenant_id, NEW.player_id));
    NEW.version := nextval('memory.moments');
    NEW.since := NEW.version;
    -- What is learned of a message, however late, belongs to whatever world the message belongs to.
    SELECT t.since, t.periods INTO source FROM memory.turns t
    WHERE t.tenant_id = NEW.tenant_id
        AND t.message_id = coalesce(NEW.source_message_ids[1], NEW.learned_from[cardinality(NEW.learned_from)]);
    IF FOUND THEN
        NEW.since := source.since;
        NEW.periods := source.periods;
    END IF;
    RETURN NEW;
END
$$;
