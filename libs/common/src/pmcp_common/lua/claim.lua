-- A worker takes the job: fence + 1, lease. A living lease of another worker is respected.
-- KEYS: job, running, queue   ARGV: tenant/job, lease_ms, max_attempts, started (the arq id this caller runs, or '')
local job_key, running_key, queue = unpack(KEYS)
local member, lease_ms, max_attempts, arq_id = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4]
local f = redis.call('HMGET', job_key, 'state', 'handed_back')
if not f[1] then return { 'GONE' } end
if TERMINAL[f[1]] then return { 'TERMINAL' } end
if not after(f[1], 'claim') then return { 'HELD' } end
if arq_id ~= '' and redis.call('HGET', job_key, 'arq_id') ~= arq_id then return { 'HELD' } end
local now = now_ms()
local attempts = redis.call('HINCRBY', job_key, 'attempts', 1)
local fence = take(job_key, running_key, queue, member, now, lease_ms)
local status = attempts - (tonumber(f[2]) or 0) > max_attempts and 'EXHAUSTED' or 'OK'
local g = redis.call('HMGET', job_key, 'submission', 'persona_id', 'persona_name', 'seq', 'cancel', 'submitted_ms')
return { status, fence, attempts, g[1], g[2], g[3], g[4], g[5] or '', string.format('%d', now - g[6]), f[2] or '0' }
