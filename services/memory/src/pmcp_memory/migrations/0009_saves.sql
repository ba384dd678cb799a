-- Saves of a player's world (docs/decisions/0008). The tables `turns` and `memories` hold the present world and nothing
-- else; what belongs to another moment is put away beside them. Whoever asks needs no condition for it.

-- Orders everything that happens to a world. A save is one number of it: its cut.
CREATE SEQUENCE memory.moments;

ALTER TABLE memory.turns
    -- In the present world since this moment.
    ADD COLUMN since   bigint          NOT NULL DEFAULT 0,
    -- And in it at these moments before, between which it was put away.
    ADD COLUMN periods int8multirange  NOT NULL DEFAULT '{}',
    -- Of its text: another one with each edit.
    ADD COLUMN version bigint          NOT NULL DEFAULT 0;
ALTER TABLE memory.memories
    ADD COLUMN since   bigint          NOT NULL DEFAULT 0,
    ADD COLUMN periods int8multirange  NOT NULL DEFAULT '{}',
    ADD COLUMN version bigint          NOT NULL DEFAULT 0;
CREATE INDEX turns_since ON memory.turns (tenant_id, player_id, since);
CREATE INDEX memories_since ON memory.memories (tenant_id, player_id, since);

-- Whatever column the tables gain, these gain it too.
CREATE TABLE memory.put_away_turns (LIKE memory.turns);
ALTER TABLE memory.put_away_turns ADD CONSTRAINT put_away_turns_pkey PRIMARY KEY (tenant_id, message_id, version);
CREATE INDEX put_away_turns_of_player ON memory.put_away_turns (tenant_id, player_id);
CREATE TABLE memory.put_away_memories (LIKE memory.memories);
ALTER TABLE memory.put_away_memories ADD CONSTRAINT put_away_memories_pkey PRIMARY KEY (tenant_id, id, version);
CREATE INDEX put_away_memories_of_player ON memory.put_away_memories (tenant_id, player_id);

CREATE TABLE memory.saves (
    tenant_id    text        NOT NULL,
    id           text        NOT NULL,
    player_id    text        NOT NULL,
    session_id   text        NOT NULL,
    principal    text        NOT NULL,
    persona_id   text,
    persona_name text,
    label        text        NOT NULL DEFAULT '',
    -- Made by a load, of what it left.
    automatic    boolean     NOT NULL DEFAULT false,
    -- Conversations with at least one message.
    conversations integer    NOT NULL,
    created_at   timestamptz NOT NULL,
    cut          bigint      NOT NULL,

    CONSTRAINT saves_pkey PRIMARY KEY (tenant_id, id),
    CONSTRAINT saves_id_check CHECK (length(id) BETWEEN 1 AND 200),
    CONSTRAINT saves_label_check CHECK (length(label) <= 200)
);
CREATE INDEX saves_of_player ON memory.saves (tenant_id, player_id, cut DESC);

-- A player's summaries as they were; they are few.
CREATE TABLE memory.saved_summaries (
    tenant_id       text   NOT NULL,
    save_id         text   NOT NULL,
    persona_id      text   NOT NULL,
    conversation_id text   NOT NULL,
    content         text   NOT NULL,
    upto_position   bigint NOT NULL,

    CONSTRAINT saved_summaries_pkey PRIMARY KEY (tenant_id, save_id, persona_id, conversation_id),
    CONSTRAINT saved_summaries_save_fkey FOREIGN KEY (tenant_id, save_id)
        REFERENCES memory.saves (tenant_id, id) ON DELETE CASCADE
);

-- Whoever writes into a player's world holds it shared, whoever saves or loads it holds it alone: what has a moment
-- before the cut is committed then. Taken before any row is locked.
CREATE FUNCTION memory.world_key(tenant text, player text) RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT hashtextextended('world' || chr(1) || tenant || chr(1) || player, 0)
$$;
CREATE FUNCTION memory.is_loading() RETURNS boolean
LANGUAGE sql STABLE AS $$ SELECT coalesce(current_setting('memory.loading', true), '') = 'on' $$;
-- Whether a save of the player holds a version that is in the present world.
CREATE FUNCTION memory.is_saved(tenant text, player text, since bigint, periods int8multirange) RETURNS boolean
LANGUAGE sql STABLE AS $$
    SELECT EXISTS (
        SELECT 1 FROM memory.saves s
        WHERE s.tenant_id = tenant AND s.player_id = player AND (s.cut > since OR periods @> s.cut)
    )
$$;
CREATE FUNCTION memory.until(periods int8multirange, since bigint, now bigint) RETURNS int8multirange
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$ SELECT periods + int8multirange(int8range(since, now)) $$;

CREATE FUNCTION memory.enter_turn() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF memory.is_loading() THEN
        NEW.since := nextval('memory.moments');
        RETURN NEW;
    END IF;
    PERFORM pg_advisory_xact_lock_shared(memory.world_key(NEW.tenant_id, NEW.player_id));
    -- Told again after a load has put it away: it stays where it is.
    IF EXISTS (
        SELECT 1 FROM memory.put_away_turns p WHERE p.tenant_id = NEW.tenant_id AND p.message_id = NEW.message_id
    ) THEN
        RETURN NULL;
    END IF;
    NEW.since := nextval('memory.moments');
    NEW.version := NEW.since;
    RETURN NEW;
END
$$;
CREATE TRIGGER turns_enter BEFORE INSERT ON memory.turns FOR EACH ROW EXECUTE FUNCTION memory.enter_turn();

-- Only a load puts turns away: else they are deleted to be forgotten.
CREATE FUNCTION memory.leave_turn() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF memory.is_loading() THEN
        OLD.periods := memory.until(OLD.periods, OLD.since, nextval('memory.moments'));
        INSERT INTO memory.put_away_turns SELECT OLD.*;
    END IF;
    RETURN OLD;
END
$$;
CREATE TRIGGER turns_leave BEFORE DELETE ON memory.turns FOR EACH ROW EXECUTE FUNCTION memory.leave_turn();

CREATE FUNCTION memory.change_turn() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock_shared(memory.world_key(OLD.tenant_id, OLD.player_id));
    IF memory.is_saved(OLD.tenant_id, OLD.player_id, OLD.since, OLD.periods) THEN
        NEW.version := nextval('memory.moments');
        NEW.since := NEW.version;
        NEW.periods := '{}';
        OLD.periods := memory.until(OLD.periods, OLD.since, NEW.version);
        INSERT INTO memory.put_away_turns SELECT OLD.*;
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER turns_change BEFORE UPDATE OF content ON memory.turns FOR EACH ROW
    WHEN (OLD.content IS DISTINCT FROM NEW.content) EXECUTE FUNCTION memory.change_turn();

CREATE FUNCTION memory.enter_memory() RETURNS trigger LANGUAGE plpgsql AS $$
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
    WHERE t.tenant_id = NEW.tenant_id AND t.message_id = NEW.source_message_ids[1];
    IF FOUND THEN
        NEW.since := source.since;
        NEW.periods := source.periods;
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER memories_enter BEFORE INSERT ON memory.memories FOR EACH ROW EXECUTE FUNCTION memory.enter_memory();

CREATE FUNCTION memory.leave_memory() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.player_id IS NULL THEN
        RETURN OLD;
    END IF;
    PERFORM pg_advisory_xact_lock_shared(memory.world_key(OLD.tenant_id, OLD.player_id));
    IF memory.is_loading() OR memory.is_saved(OLD.tenant_id, OLD.player_id, OLD.since, OLD.periods) THEN
        OLD.periods := memory.until(OLD.periods, OLD.since, nextval('memory.moments'));
        INSERT INTO memory.put_away_memories SELECT OLD.*;
    END IF;
    RETURN OLD;
END
$$;
CREATE TRIGGER memories_leave BEFORE DELETE ON memory.memories FOR EACH ROW EXECUTE FUNCTION memory.leave_memory();

CREATE FUNCTION memory.change_memory() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock_shared(memory.world_key(OLD.tenant_id, OLD.player_id));
    IF memory.is_saved(OLD.tenant_id, OLD.player_id, OLD.since, OLD.periods) THEN
        NEW.version := nextval('memory.moments');
        NEW.since := NEW.version;
        NEW.periods := '{}';
        OLD.periods := memory.until(OLD.periods, OLD.since, NEW.version);
        INSERT INTO memory.put_away_memories SELECT OLD.*;
    END IF;
    RETURN NEW;
END
$$;
-- Not of what time and use do to a memory, nor of a vector or a lead-in: a load leaves those as they are.
CREATE TRIGGER memories_change
    BEFORE UPDATE OF content, memory_type, initial_importance, emotional_valence, visibility, pinned, related_personas,
        source_message_ids, merged_from, occurred_at, world_time
    ON memory.memories FOR EACH ROW
    WHEN (OLD.player_id IS NOT NULL AND (
        OLD.content, OLD.memory_type, OLD.emotional_valence, OLD.visibility, OLD.pinned,
        -- Without a new time it is decay.
        CASE WHEN OLD.updated_at IS DISTINCT FROM NEW.updated_at THEN OLD.initial_importance END,
        OLD.related_personas, OLD.source_message_ids, OLD.merged_from, OLD.occurred_at, OLD.world_time
    ) IS DISTINCT FROM (
        NEW.content, NEW.memory_type, NEW.emotional_valence, NEW.visibility, NEW.pinned,
        CASE WHEN OLD.updated_at IS DISTINCT FROM NEW.updated_at THEN NEW.initial_importance END,
        NEW.related_personas, NEW.source_message_ids, NEW.merged_from, NEW.occurred_at, NEW.world_time
    ))
    EXECUTE FUNCTION memory.change_memory();

-- All that is kept of a player: the present world, and what is put away from it, each in its newest version.
CREATE FUNCTION memory.all_memories(tenant text, player text) RETURNS SETOF memory.memories
LANGUAGE sql STABLE AS $$
    SELECT * FROM memory.memories WHERE tenant_id = tenant AND player_id = player
    UNION ALL
    SELECT * FROM (
        SELECT DISTINCT ON (p.id) p.* FROM memory.put_away_memories p
        WHERE p.tenant_id = tenant AND p.player_id = player
            AND NOT EXISTS (SELECT 1 FROM memory.memories m WHERE m.tenant_id = p.tenant_id AND m.id = p.id)
        ORDER BY p.id, p.version DESC
    ) AS away
$$;
CREATE FUNCTION memory.all_turns(tenant text, player text) RETURNS SETOF memory.turns
LANGUAGE sql STABLE AS $$
    SELECT * FROM memory.turns WHERE tenant_id = tenant AND player_id = player
    UNION ALL
    SELECT * FROM (
        SELECT DISTINCT ON (p.message_id) p.* FROM memory.put_away_turns p
        WHERE p.tenant_id = tenant AND p.player_id = player
            AND NOT EXISTS (SELECT 1 FROM memory.turns t WHERE t.tenant_id = p.tenant_id AND t.message_id = p.message_id)
        ORDER BY p.message_id, p.version DESC
    ) AS away
$$;
