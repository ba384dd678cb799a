-- The text in the stream is whole: says how the reply will end, before its rows are written. The first word counts, and
-- whoever ends the reply from then on ends it so. A stale worker is told to write no row.
-- KEYS: job, running, owed   ARGV: tenant/job, fence, lease_ms, verdict (JSON), tenant
-- Returns also whether rows of earlier turns of the conversation wait for Postgres.
local job_key, running_key, owed = unpack(KEYS)
local f = redis.call('HMGET', job_key, 'state', 'fence', 'conversation_id')
if not f[1] then return { 'GONE', 0 } end
if TERMINAL[f[1]] then return { 'TERMINAL', 0 } end
if f[2] ~= ARGV[2] then return { 'FENCED', 0 } end
local state = after(f[1], 'commit')
if not state then return { 'ILLEGAL', 0 } end
redis.call('HSET', job_key, 'state', state)
redis.call('HSETNX', job_key, 'verdict', ARGV[4])
redis.call('ZADD', running_key, now_ms() + tonumber(ARGV[3]), ARGV[1])
return { 'OK', redis.call('HEXISTS', owed, ARGV[5] .. '/' .. f[3]) }
