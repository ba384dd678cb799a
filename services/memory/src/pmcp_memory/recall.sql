-- One recall, one statement. Read by recall_store.py; formula and weights: ranking.py; why: docs/memory.md.

-- name: recall_memories
-- $1 tenant  $2 persona  $3 player  $4 vector  $5 its model
-- $6 words of the question  $7 the same without its participants' names  $8 words too common to search by
-- $9 months  $10 years  $11 'player' and 'persona' as "I" and "you" mean them  $12 words that may name a speaker
-- $13 cues asked for (bits)  $14 now  $15 weights, in the order of ranking.PARTS  $16 candidates of each kind
-- $17 type or null  $18 least importance  $19 sources known already  $20 as of (null: now)  $21 how many
-- $22 frequent words, the most frequent last: of many words, the rarest are asked for, of those the last said
-- :dimension of the vector; :matches any_word, by index or not (recall_store.py)
WITH asked AS MATERIALIZED (
    SELECT
        $4::public.vector::public.halfvec AS vector,
        (
            SELECT string_agg(quote_literal(lexeme), ' | ')::tsquery
            FROM (
                SELECT lexeme FROM unnest(to_tsvector('english', $6))
                WHERE lexeme <> ALL ($8::text[])
                ORDER BY coalesce(array_position($22::text[], lexeme), 0), positions[cardinality(positions)] DESC
                LIMIT 64
            ) AS w
        ) AS any_word
),
terms AS MATERIALIZED (
    SELECT quote_literal(lexeme)::tsquery AS term, 1 << (row_number() OVER () - 1)::integer AS bit
    FROM (
        SELECT lexeme FROM unnest(to_tsvector('english', $7))
        ORDER BY coalesce(array_position($22::text[], lexeme), 0), positions[cardinality(positions)] DESC
        LIMIT 24
    ) AS w
),
-- Own and others' apart: a large memory has an index of its own (near_indexes), which only this form can use. Of all
-- that are sorted, no more than the id: what else is needed of the nearest is read when they are known.
own AS (
    SELECT id, embedding::public.halfvec(:dimension) <=> (SELECT vector FROM asked) AS distance
    FROM memory.memories
    WHERE tenant_id = $1 AND persona_id = $2 AND player_id = $3
        AND embedding_model = $5
        AND ($17::text IS NULL OR memory_type = $17) AND ($18::real <= 0 OR importance >= $18)
        AND NOT source_message_ids && $19::text[] AND ($20::timestamptz IS NULL OR coalesce(first_occurred_at, occurred_at) <= $20)
    ORDER BY embedding::public.halfvec(:dimension) <=> (SELECT vector FROM asked)
    LIMIT $16
),
beyond_own AS (
    SELECT id, embedding <=> (SELECT vector FROM asked) AS distance
    FROM memory.visible_beyond_own($1, $2, $3)
    WHERE embedding_model = $5
        AND ($17::text IS NULL OR memory_type = $17) AND ($18::real <= 0 OR importance >= $18)
        AND NOT source_message_ids && $19::text[] AND ($20::timestamptz IS NULL OR coalesce(first_occurred_at, occurred_at) <= $20)
    ORDER BY embedding <=> (SELECT vector FROM asked)
    LIMIT $16
),
nearest AS (
    SELECT m.id, m.persona_id, m.player_id, m.thread_id, m.ordinal
    FROM (
        SELECT id FROM (SELECT * FROM own UNION ALL SELECT * FROM beyond_own) AS both_of_them
        ORDER BY distance
        LIMIT $16
    ) AS n
    JOIN memory.memories m ON m.tenant_id = $1 AND m.id = n.id
),
wordy AS (
    SELECT id, persona_id, player_id, thread_id, ordinal
    FROM memory.visible_memories($1, $2, $3)
    WHERE :matches
        AND ($17::text IS NULL OR memory_type = $17) AND importance >= $18
        AND NOT source_message_ids && $19::text[] AND ($20::timestamptz IS NULL OR coalesce(first_occurred_at, occurred_at) <= $20)
    ORDER BY ts_rank(words, (SELECT any_word FROM asked)) DESC, id
    LIMIT $16
),
candidates AS MATERIALIZED (
    SELECT id, persona_id, coalesce(player_id, '') AS player, thread_id, ordinal FROM nearest
    UNION
    SELECT id, persona_id, coalesce(player_id, ''), thread_id, ordinal FROM wordy
),
-- A thread is of one persona and one player: two of the same name are no neighbours.
places AS MATERIALIZED (
    SELECT DISTINCT persona_id, player, thread_id, ordinal + step AS ordinal
    FROM candidates CROSS JOIN generate_series(-3, 3) AS step
),
-- Candidates and what stands around them, each with its own evidence.
around AS MATERIALIZED (
    SELECT
        m.id, m.persona_id, p.player, m.thread_id, m.episode, m.ordinal,
        -- Not embedded anew yet after a change of model: found by its words alone.
        CASE WHEN m.embedding_model = $5 THEN 1 - (m.embedding <=> (SELECT vector FROM asked)) END AS cosine,
        coalesce((SELECT bit_or(t.bit) FROM terms t WHERE m.words @@ t.term), 0) AS mask,
        m.id IN (SELECT id FROM candidates) AS candidate
    FROM places p
    -- By its place and nothing else (so OFFSET 0, and a comparison that no index knows): where the planner has no
    -- statistics yet, it takes a player's memories for one and would read them all through for each place.
    CROSS JOIN LATERAL (
        SELECT v.id, v.persona_id, v.thread_id, v.episode, v.ordinal, v.embedding, v.embedding_model, v.words
        FROM memory.visible_memories($1, $2, $3) v
        WHERE v.thread_id = p.thread_id AND v.ordinal = p.ordinal
            AND v.persona_id IS NOT DISTINCT FROM p.persona_id AND coalesce(v.player_id, '') = p.player
            AND ($20::timestamptz IS NULL OR coalesce(v.first_occurred_at, v.occurred_at) <= $20)
        OFFSET 0
    ) m
),
bounds AS MATERIALIZED (
    SELECT
        coalesce(min(cosine), 0) AS low, greatest(max(cosine) - min(cosine), 1e-6) AS width, count(*) AS candidates
    FROM around WHERE candidate
),
term_weights AS MATERIALIZED (
    SELECT bit, ln(1 + (n - found + 0.5::float8) / (found + 0.5::float8)) AS weight
    FROM (
        SELECT t.bit, (SELECT candidates FROM bounds) AS n,
            (SELECT count(*) FROM around a WHERE a.candidate AND a.mask & t.bit <> 0) AS found
        FROM terms t
    ) AS counted
),
spread AS (
    SELECT
        id, candidate, cosine, mask,
        max(cosine) OVER near AS near_cosine, bit_or(mask) OVER near AS near_mask, bit_or(mask) OVER beside AS beside_mask
    FROM around
    WINDOW
        near AS (PARTITION BY persona_id, player, thread_id, episode ORDER BY ordinal RANGE BETWEEN 3 PRECEDING AND 3 FOLLOWING),
        beside AS (PARTITION BY persona_id, player, thread_id, episode ORDER BY ordinal RANGE BETWEEN 1 PRECEDING AND 1 FOLLOWING)
),
parts AS (
    SELECT
        m.id, m.persona_id, m.player_id, m.content, m.memory_type, m.importance, m.emotional_valence, m.related_personas,
        m.visibility, m.created_at, m.accessed_count, m.thread_id, m.episode, m.ordinal, m.speaker, m.said_by, m.occurred_at, m.source_message_ids || m.learned_from AS source_message_ids,
        coalesce(s.cosine, 0) AS cosine,
        coalesce((s.cosine - b.low) / b.width, 0) AS meaning,
        greatest((coalesce(s.near_cosine, b.low) - b.low) / b.width, 0) AS nearby,
        coalesce((
            SELECT sum(
                w.weight * CASE
                    WHEN s.mask & w.bit <> 0 THEN 1.0::float8
                    WHEN s.beside_mask & w.bit <> 0 THEN 0.7::float8
                    WHEN s.near_mask & w.bit <> 0 THEN 0.45::float8
                    ELSE 0.0::float8
                END
            ) / sum(w.weight) FROM term_weights w
        ), 0) AS wording,
        greatest(
            (m.said_by = ANY ($11::text[]))::integer,
            (string_to_array(lower(m.speaker), ' ') && $12::text[])::integer, 0
        ) AS speaker_asked,
        CASE
            WHEN cardinality($9::integer[]) > 0 THEN (
                extract(month FROM coalesce(m.world_time, m.occurred_at)) = ANY ($9)
                AND (cardinality($10::integer[]) = 0 OR extract(year FROM coalesce(m.world_time, m.occurred_at)) = ANY ($10))
            )::integer
            ELSE 0.3::float8 * (extract(year FROM coalesce(m.world_time, m.occurred_at)) = ANY ($10))::integer
        END AS date_asked,
        (m.cues & 1) AS tells_time,
        (m.cues & 8 <> 0)::integer AS only_asks,
        bit_count((m.cues & $13)::bit(8))::float8 AS cues_asked,
        exp(-extract(epoch FROM greatest($14::timestamptz - m.occurred_at, interval '0'))::float8 / 2592000) AS recency,
        -- Of the two who talk, or about one of them: a persona may be the player, under its id with a prefix.
        (
            m.player_id IS NOT DISTINCT FROM $3
            OR m.related_personas && ARRAY[$2, substring($3 FROM '^persona:(.*)$')]
        )::integer AS relationship
    FROM spread s
    CROSS JOIN bounds b
    JOIN memory.memories m ON m.tenant_id = $1 AND m.id = s.id
    WHERE s.candidate
),
best AS (
    SELECT
        *,
        ($15::float8[])[1] * meaning + ($15::float8[])[2] * nearby + ($15::float8[])[3] * wording
        + ($15::float8[])[4] * speaker_asked + ($15::float8[])[5] * date_asked + ($15::float8[])[6] * tells_time
        + ($15::float8[])[7] * cues_asked + ($15::float8[])[8] * only_asks + ($15::float8[])[9] * importance
        + ($15::float8[])[10] * recency + ($15::float8[])[11] * relationship AS score
    FROM parts
    ORDER BY score DESC, id
    LIMIT $21
)
-- The turn before and the turn after come along.
SELECT
    b.*,
    (
        SELECT coalesce(jsonb_agg(
            jsonb_build_object('id', n.id, 'step', n.ordinal - b.ordinal, 'speaker', n.speaker, 'content', n.content)
            ORDER BY n.ordinal
        ), '[]')
        FROM memory.visible_memories($1, $2, $3) n
        WHERE n.tenant_id = $1 AND n.persona_id IS NOT DISTINCT FROM b.persona_id
            AND n.player_id IS NOT DISTINCT FROM b.player_id AND n.thread_id = b.thread_id AND n.episode = b.episode AND n.id <> b.id
            AND n.ordinal BETWEEN b.ordinal - 1 AND b.ordinal + 1
            AND ($20::timestamptz IS NULL OR coalesce(n.first_occurred_at, n.occurred_at) <= $20)
    ) AS neighbours
FROM best b
ORDER BY b.score DESC, b.id

-- name: anything_beyond
-- $1 tenant  $2 persona  $3 player  $4 sources known already
SELECT EXISTS (
    SELECT 1 FROM memory.visible_memories($1, $2, $3) WHERE NOT source_message_ids && $4::text[]
);

-- name: describe_visible
-- A handful of names (whoever speaks in every memory tells none apart), how many memories there are, and whether
-- PostgreSQL has statistics of some.
SELECT
    (SELECT reltuples > 0 FROM pg_class WHERE oid = 'memory.memories'::regclass) AS analysed,
    (SELECT count(*) FROM memory.visible_memories($1, $2, $3)) AS memories,
    ARRAY(
        SELECT DISTINCT speaker FROM memory.visible_memories($1, $2, $3) WHERE speaker IS NOT NULL ORDER BY speaker LIMIT 32
    ) AS speakers

-- name: common_words
-- Words by the share of all memories that say them, as PostgreSQL's statistics know it; none before the first ANALYZE.
SELECT w.word, w.share
FROM pg_stats s, unnest(s.most_common_elems::text::text[], s.most_common_elem_freqs) AS w (word, share)
WHERE s.schemaname = 'memory' AND s.tablename = 'memories' AND s.attname = 'words' AND w.word IS NOT NULL
    AND w.share >= 0.01
