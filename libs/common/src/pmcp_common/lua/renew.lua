-- Extends the lease of a claim.
-- KEYS: job, running   ARGV: tenant/job, fence, lease_ms
local job_key, running_key = KEYS[1], KEYS[2]
local f = redis.call('HMGET', job_key, 'state', 'fence', 'cancel')
if not f[1] then return 'GONE' end
if TERMINAL[f[1]] then return 'TERMINAL' end
if f[2] ~= ARGV[2] then return 'FENCED' end
if not after(f[1], 'lease_lost') then return 'ILLEGAL' end -- nobody holds a lease in this state
redis.call('ZADD', running_key, now_ms() + tonumber(ARGV[3]), ARGV[1])
return f[3] and 'CANCEL' or 'OK'
