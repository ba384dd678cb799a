-- Takes a reply that is past its deadline from whoever should have ended it; the caller must fail it.
-- A worker that lives is left a moment: it knows the deadline too, and may be committing.
-- KEYS: job, running, queue   ARGV: tenant/job, principal, lease_ms, moment_ms
local job_key, running_key, queue = unpack(KEYS)
local member, lease_ms, moment_ms = ARGV[1], tonumber(ARGV[3]), tonumber(ARGV[4])
local f = redis.call('HMGET', job_key, 'state', 'principal', 'deadline_ms', 'attempts')
if not f[1] or f[2] ~= ARGV[2] then return { 'GONE' } end
if TERMINAL[f[1]] then return { 'TERMINAL' } end
local now = now_ms()
local due = tonumber(f[3])
local lease = tonumber(redis.call('ZSCORE', running_key, member) or '0')
if f[1] ~= 'queued' and lease > now then due = due + moment_ms end
if due > now then return { 'EARLY', due - now } end
local fence = take(job_key, running_key, queue, member, now, lease_ms)
redis.call('HSET', job_key, 'state', 'claimed')
local g = redis.call('HMGET', job_key, 'submission', 'persona_id', 'persona_name', 'seq', 'cancel', 'submitted_ms')
return { 'TAKEN', fence, f[4], g[1], g[2], g[3], g[4], g[5] or '', string.format('%d', now - g[6]) }
