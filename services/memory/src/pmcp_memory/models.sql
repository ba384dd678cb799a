-- The statements of model_store.py.

-- name: dimension_of
-- What is there stays.
INSERT INTO memory.embedding_models AS m (name, dimension) VALUES ($1, $2)
ON CONFLICT (name) DO UPDATE SET dimension = m.dimension
RETURNING dimension

-- name: hold_model
-- No row: another model is agreed on, and a replica that has it was here lately.
INSERT INTO memory.agreed_model AS a (name, held_until, agreed_at)
VALUES ($1, now() + make_interval(secs => $2), $3)
ON CONFLICT (only_one) DO UPDATE
    SET name = excluded.name, held_until = excluded.held_until,
        agreed_at = CASE WHEN a.name = excluded.name THEN a.agreed_at ELSE excluded.agreed_at END
    WHERE a.name = excluded.name OR a.held_until < now()
RETURNING name

-- name: agreed_model
SELECT name FROM memory.agreed_model
