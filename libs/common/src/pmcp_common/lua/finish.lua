-- The one terminal event: stream, live channel, expiry, the conversation's next turn and the off-path job, at once.
-- KEYS: job, stream, running, reply queue, remember queue, spool, owed
-- ARGV: tenant, job, fence, seq, state, event (JSON), window_s, pickup_ms, remember arguments (JSON or ''),
-- rows owed to Postgres (JSON or ''), most entries of the spool
local job_key, stream_key, running_key, queue, remember_queue, spool, owed_key = unpack(KEYS)
local tenant, job_id, fence, seq, state, event, window_s, pickup_ms, remember, owed, spool_entries = unpack(ARGV, 1, 11)
local member = tenant .. '/' .. job_id
local f = redis.call('HMGET', job_key, 'state', 'fence', 'seq', 'gateway', 'conversation_id')
if not f[1] then return 'GONE' end
if f[1] == state and f[2] == fence and f[3] == seq then return 'OK' end -- this very end: its first answer was lost
if TERMINAL[f[1]] then return 'TERMINAL' end
if f[2] ~= fence then return 'FENCED' end
if tonumber(seq) ~= tonumber(f[3]) + 1 then return 'GAP' end
if after(f[1], 'finish_' .. state) ~= state then return 'ILLEGAL' end
local now = now_ms()
redis.call('XADD', stream_key, seq .. '-0', 'e', event)
redis.call('HSET', job_key, 'seq', seq, 'state', state)
redis.call('HDEL', job_key, 'verdict')
redis.call('ZREM', running_key, member)
redis.call('ZREM', UNRECORDED, member)
redis.call('EXPIRE', job_key, window_s)
redis.call('EXPIRE', stream_key, window_s)

local line = 'pmcp:conv:' .. tenant .. ':' .. f[5] .. ':q'
redis.call('LREM', line, 1, job_id)
run_first(line, running_key, queue, tenant, now, tonumber(pickup_ms))
local conversation = tenant .. '/' .. f[5]
if owed ~= '' then
  redis.call('HINCRBY', owed_key, conversation, 1)
  redis.call('XADD', spool, 'MAXLEN', '~', spool_entries, '*', 'tenant', tenant, 'turns', owed)
end
-- Its rows are stored, or in the spool by now: then it leaves the record after whatever waits there.
redis.call('ZADD', SETTLED, redis.call('HEXISTS', owed_key, conversation) == 1 and now or 0, member)
if remember ~= '' then
  arq_enqueue(remember_queue, 'remember:' .. job_id, 'remember', remember, now)
end
redis.call('PUBLISH', f[4], '[' .. event .. ']')
return 'OK'
