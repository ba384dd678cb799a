-- Shared by all scripts of this folder: put in front of each when it is loaded.
-- Times are milliseconds of the Redis clock, never of a caller.
-- In front of it stand NEXT and TERMINAL, written from `contracts.jobs.TRANSITIONS`, the one table of states, and
-- names of `contracts.keys`.

-- The state after an event; nil when there is no such event in this state.
local function after(state, event)
  return NEXT[state .. ' ' .. event]
end

-- arq starts a job when its score is not after the worker's own clock: the past tolerates skewed clocks.
local SKEW_MS = 60000
-- Wake-ups are hints; a list nobody pops must not grow.
local WAKE_LIMIT = 10000
-- Longer than reapers pause (1 s) and leases wait for their renewal (3 s).
local SILENCE_MS = 4000
-- What arq calls the key of one job and the mark of a started one.
local ARQ_JOB = 'arq:job:'
local ARQ_STARTED = 'arq:in-progress:'

local function now_ms()
  local t = redis.call('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000)
end

local function arq_enqueue(queue, arq_id, name, args_json, now)
  local payload = '{"t":null,"f":"' .. name .. '","a":' .. args_json .. ',"k":{},"et":' .. string.format('%d', now) .. '}'
  redis.call('SET', ARQ_JOB .. arq_id, payload, 'PX', 86400000)
  redis.call('ZADD', queue, now - SKEW_MS, arq_id)
  redis.call('RPUSH', queue .. ':wake', arq_id)
  redis.call('LTRIM', queue .. ':wake', -WAKE_LIMIT, -1)
end

-- Puts a stored job in line under a fresh arq id (arq ignores an id it has seen) and watches over its pick-up.
local function enqueue_reply(job_key, running_key, queue, tenant, job_id, now, pickup_ms)
  local n = redis.call('HINCRBY', job_key, 'enqueues', 1)
  local arq_id = job_id .. ':' .. n
  redis.call('HSET', job_key, 'arq_id', arq_id)
  arq_enqueue(queue, arq_id, 'reply', '["' .. tenant .. '","' .. job_id .. '"]', now)
  redis.call('ZADD', running_key, now + pickup_ms, tenant .. '/' .. job_id)
end

-- Whoever holds the job loses it to the caller.
local function take(job_key, running_key, queue, member, now, lease_ms)
  local state = redis.call('HGET', job_key, 'state')
  redis.call('HSET', job_key, 'state', after(after(state, 'lease_lost') or state, 'claim'))
  local fence = redis.call('HINCRBY', job_key, 'fence', 1)
  redis.call('ZADD', running_key, now + lease_ms, member)
  local arq_id = redis.call('HGET', job_key, 'arq_id')
  -- From here the lease keeps the job: out of arq's queue, so that its length is the number waiting.
  if arq_id then redis.call('ZREM', queue, arq_id) end
  return fence
end
