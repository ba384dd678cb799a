-- Gives jobs whose lease ended back to the queue. Those past their deadline or attempts are taken by the caller,
-- who must fail them; should it die first, their new short lease ends and they come here again.
-- KEYS: running, queue, time of the last pass   ARGV: limit, pickup_ms, lease_ms, max_attempts
local running_key, queue, passed_key = unpack(KEYS)
local limit, pickup_ms, lease_ms, max_attempts = unpack(ARGV)
local now = now_ms()
local requeued, taken = 0, {}
-- When nobody could reap for a while, nobody could renew either: the living get time to say so first.
local passed = tonumber(redis.call('GET', passed_key))
redis.call('SET', passed_key, string.format('%d', now))
if passed and now - passed > SILENCE_MS then
  for _, member in ipairs(redis.call('ZRANGEBYSCORE', running_key, '-inf', now)) do
    redis.call('ZADD', running_key, now + SILENCE_MS, member)
  end
  return { 0, {} }
end
local ended = redis.call('ZRANGEBYSCORE', running_key, '-inf', now, 'LIMIT', 0, limit)
for _, member in ipairs(ended) do
  local job_key = 'pmcp:{' .. member .. '}:job'
  local f = redis.call('HMGET', job_key, 'state', 'attempts', 'deadline_ms', 'arq_id', 'handed_back')
  if not f[1] or TERMINAL[f[1]] then
    redis.call('ZREM', running_key, member)
  elseif tonumber(f[3]) <= now or tonumber(f[2]) - (tonumber(f[5]) or 0) >= tonumber(max_attempts) then
    local fence = take(job_key, running_key, queue, member, now, tonumber(lease_ms))
    local g = redis.call('HMGET', job_key, 'submission', 'persona_id', 'persona_name', 'seq', 'cancel', 'submitted_ms')
    local reason = tonumber(f[3]) <= now and 'deadline' or 'worker_lost'
    taken[#taken + 1] = { reason, fence, f[2], g[1], g[2], g[3], g[4], g[5] or '', string.format('%d', now - g[6]) }
  elseif f[1] == 'queued' and f[4] and redis.call('ZSCORE', queue, f[4])
      and redis.call('EXISTS', ARQ_STARTED .. f[4]) == 0 then
    redis.call('ZADD', running_key, now + tonumber(pickup_ms), member) -- still waiting in line, as it should
  else
    local slash = string.find(member, '/', 1, true)
    redis.call('HSET', job_key, 'state', after(f[1], 'lease_lost') or f[1])
    redis.call('HINCRBY', job_key, 'fence', 1)
    enqueue_reply(job_key, running_key, queue, string.sub(member, 1, slash - 1), string.sub(member, slash + 1), now,
      tonumber(pickup_ms))
    requeued = requeued + 1
  end
end
return { requeued, taken }
