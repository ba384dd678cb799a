-- name: record_jobs
INSERT INTO jobs.accepted (tenant_id, job_id, epoch, accepted_at, submission)
SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::text[])
ON CONFLICT (tenant_id, job_id) DO UPDATE SET epoch = excluded.epoch, submission = excluded.submission
RETURNING job_id

-- name: settle_jobs
DELETE FROM jobs.accepted a
USING unnest($1::text[], $2::text[]) AS s (tenant_id, job_id)
WHERE a.tenant_id = s.tenant_id AND a.job_id = s.job_id
RETURNING a.job_id

-- name: lost_jobs
SELECT tenant_id, job_id, epoch, accepted_at, submission
FROM jobs.accepted
WHERE epoch <> $1
ORDER BY accepted_at, job_id
LIMIT $2

-- name: purge_jobs
DELETE FROM jobs.accepted a
USING (
    SELECT tenant_id, job_id FROM jobs.accepted WHERE accepted_at < $1 ORDER BY accepted_at LIMIT $2
) AS old
WHERE a.tenant_id = old.tenant_id AND a.job_id = old.job_id
RETURNING a.job_id
