-- What a submission tells of its message. NULL where it is not read: it is kept as it came, whatever it is.
CREATE FUNCTION jobs.told(submission text) RETURNS jsonb
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN submission IS JSON OBJECT THEN submission::jsonb END
$$;
