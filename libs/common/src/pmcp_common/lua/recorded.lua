-- These jobs are in the record now. One that ended meanwhile has to leave it again.
-- Jobs that are missing because the data was lost meanwhile have not ended: nothing is noted in another epoch. But the
-- record of the lost one may have been looked through before they came into it, so that it is not restored yet.
-- KEYS: epoch, epoch that is restored   ARGV: epoch they were accepted in, tenant/job of each
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  redis.call('DEL', KEYS[2])
  return 0
end
local now = now_ms()
for i = 2, #ARGV do
  local member = ARGV[i]
  local job_key = 'pmcp:{' .. member .. '}:job'
  local state = redis.call('HGET', job_key, 'state')
  redis.call('ZREM', UNRECORDED, member)
  if not state or TERMINAL[state] then
    redis.call('ZADD', SETTLED, 'NX', now, member)
  else
    redis.call('HSET', job_key, 'recorded', 1)
  end
end
return #ARGV - 1
