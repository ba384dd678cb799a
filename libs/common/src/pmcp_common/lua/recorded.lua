-- These jobs are in the record now. One that ended meanwhile has to leave it again.
-- ARGV: tenant/job of each
local now = now_ms()
for _, member in ipairs(ARGV) do
  local job_key = 'pmcp:{' .. member .. '}:job'
  local state = redis.call('HGET', job_key, 'state')
  redis.call('ZREM', UNRECORDED, member)
  if not state or TERMINAL[state] then
    redis.call('ZADD', SETTLED, now, member)
  else
    redis.call('HSET', job_key, 'recorded', 1)
  end
end
return #ARGV
