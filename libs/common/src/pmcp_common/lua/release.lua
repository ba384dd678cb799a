-- A worker that leaves hands its job back: another one may claim it at once, and goes on with what is in the stream.
-- KEYS: job, running, queue   ARGV: tenant/job, fence, pickup_ms
local job_key, running_key, queue = unpack(KEYS)
local member, fence, pickup_ms = unpack(ARGV)
local f = redis.call('HMGET', job_key, 'state', 'fence', 'released')
if not f[1] then return 'GONE' end
if TERMINAL[f[1]] then return 'TERMINAL' end
if f[3] == fence then return 'OK' end
if f[2] ~= fence then return 'FENCED' end
local state = after(f[1], 'hand_back')
if not state then return 'ILLEGAL' end
redis.call('HSET', job_key, 'state', state, 'released', fence)
redis.call('HINCRBY', job_key, 'fence', 1)
redis.call('HINCRBY', job_key, 'handed_back', 1)
enqueue_reply(job_key, running_key, queue, member, now_ms(), tonumber(pickup_ms))
return 'OK'
