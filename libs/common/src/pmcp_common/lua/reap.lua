-- Gives jobs whose lease ended back to the queue. Those past their deadline or attempts are taken by the caller,
-- who must end them; should it die first, their new lease ends and they come here again.
-- KEYS: running, queue, time of the last pass   ARGV: limit, pickup_ms, lease_ms, max_attempts
-- Returns: how many were queued again, those taken, ms until the next is due (-1: none)
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
end
local ended = redis.call('ZRANGEBYSCORE', running_key, '-inf', now, 'LIMIT', 0, limit)
for _, member in ipairs(ended) do
  local job_key = 'pmcp:{' .. member .. '}:job'
  local f = redis.call('HMGET', job_key, 'state', 'attempts', 'deadline_ms', 'ticket', 'handed_back', 'conversation_id',
    'verdict')
  local due = tonumber(f[3])
  local late = f[1] and due <= now and not f[7] -- of a whole text a worker has to store the rows
  local lost = (tonumber(f[2]) or 0) - (tonumber(f[5]) or 0) >= tonumber(max_attempts)
  if not f[1] or TERMINAL[f[1]] then
    redis.call('ZREM', running_key, member)
  elseif late or lost then
    local fence = take(job_key, running_key, queue, member, now, tonumber(lease_ms), '')
    taken[#taken + 1] = { late and 'deadline' or 'worker_lost', fence, f[2], particulars(job_key, now) }
  elseif f[1] == 'queued' and (not f[4] or redis.call('ZSCORE', queue, f[4])) then
    -- Still waiting, as it should: for a worker, or for the turn before it.
    local left_ms = due > now and due - now or tonumber(pickup_ms)
    redis.call('ZADD', running_key, now + math.min(pickup_ms, left_ms), member)
    if not f[4] then
      local tenant = string.sub(member, 1, string.find(member, '/', 1, true) - 1)
      run_first('pmcp:conv:' .. tenant .. ':' .. f[6] .. ':q', running_key, queue, tenant, now, tonumber(pickup_ms))
    end
  else
    redis.call('HSET', job_key, 'state', after(f[1], 'lease_lost') or f[1])
    redis.call('HINCRBY', job_key, 'fence', 1)
    enqueue_reply(job_key, running_key, queue, member, now, tonumber(pickup_ms))
    requeued = requeued + 1
  end
end
local next_due = redis.call('ZRANGE', running_key, 0, 0, 'WITHSCORES')
return { requeued, taken, next_due[2] and math.max(0, next_due[2] - now) or -1 }
