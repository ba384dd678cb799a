-- Messages that were accepted and have not been seen to end: what is left of them when Redis loses its data.

CREATE TABLE jobs.accepted (
    tenant_id   text   NOT NULL,
    job_id      text   NOT NULL,
    -- Names the life of the Redis data; a row of another one is a job that was lost.
    epoch       text   NOT NULL,
    accepted_at bigint NOT NULL,
    submission  text   NOT NULL,

    CONSTRAINT accepted_pkey PRIMARY KEY (tenant_id, job_id),
    CONSTRAINT accepted_submission_check CHECK (octet_length(submission) <= 800000)
);

CREATE INDEX accepted_by_time ON jobs.accepted (accepted_at);
