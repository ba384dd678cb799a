-- Shared by all scripts of this folder: put in front of each when it is loaded.
-- Times are milliseconds of the Redis clock, never of a caller.
-- In front of it stand NEXT and TERMINAL, written from `contracts.jobs.TRANSITIONS`, the one table of states, and
-- names of `contracts.keys`.
-- A caller whose answer was lost runs its script again with the same arguments: each answers as it did before.

-- The state after an event; nil when there is no such event in this state.
local function after(state, event)
  return NEXT[state .. ' ' .. event]
end

-- Workers take entries whose score is not after their own clock: the past tolerates skewed clocks.
local SKEW_MS = 60000
-- Wake-ups are hints; a list nobody pops must not grow.
local WAKE_LIMIT = 10000
-- Longer than reapers pause (1 s) and leases wait for their renewal (3 s).
local SILENCE_MS = 4000
-- What arq calls the key of one job.
local ARQ_JOB = 'arq:job:'

local function now_ms()
  local t = redis.call('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000)
end

-- An entry of a queue, and the wake-up of an idle worker.
local function announce(queue, entry, now)
  redis.call('ZADD', queue, now - SKEW_MS, entry)
  redis.call('RPUSH', queue .. ':wake', entry)
  redis.call('LTRIM', queue .. ':wake', -WAKE_LIMIT, -1)
end

local function arq_enqueue(queue, arq_id, name, args_json, now)
  local payload = '{"t":null,"f":"' .. name .. '","a":' .. args_json .. ',"k":{},"et":' .. string.format('%d', now) .. '}'
  redis.call('SET', ARQ_JOB .. arq_id, payload, 'PX', 86400000)
  announce(queue, arq_id, now)
end

-- Puts a stored job in line under a fresh ticket and watches over its pick-up and its deadline.
local function enqueue_reply(job_key, running_key, queue, member, now, pickup_ms)
  local ticket = member .. ':' .. redis.call('HINCRBY', job_key, 'enqueues', 1)
  redis.call('HSET', job_key, 'ticket', ticket)
  announce(queue, ticket, now)
  redis.call('ZADD', running_key, math.min(now + pickup_ms, redis.call('HGET', job_key, 'deadline_ms')), member)
end

-- Lets the first turn of a conversation run, unless it does already. Those before it that have vanished are dropped:
-- they would block it for ever.
local function run_first(line, running_key, queue, tenant, now, pickup_ms)
  local first = redis.call('LINDEX', line, 0)
  while first do
    local member = tenant .. '/' .. first
    local job_key = 'pmcp:{' .. member .. '}:job'
    local f = redis.call('HMGET', job_key, 'state', 'ticket')
    if f[1] and not TERMINAL[f[1]] then
      if f[1] == 'queued' and not f[2] then enqueue_reply(job_key, running_key, queue, member, now, pickup_ms) end
      return
    end
    redis.call('LPOP', line)
    first = redis.call('LINDEX', line, 0)
  end
end

-- What a claim needs to know of a job, behind its fence and attempts.
local function particulars(job_key, now)
  local f = redis.call('HMGET', job_key, 'submission', 'persona_id', 'persona_name', 'seq', 'cancel', 'submitted_ms',
    'handed_back', 'verdict')
  return f[1], f[2], f[3], f[4], f[5] or '', string.format('%d', now - f[6]), f[7] or '0', f[8] or ''
end

-- Whoever holds the job loses it to the caller; `claimant` names this one call. Returns the fence.
local function take(job_key, running_key, queue, member, now, lease_ms, claimant)
  local f = redis.call('HMGET', job_key, 'state', 'ticket', 'verdict')
  local event = f[3] and 'claim_whole' or 'claim'
  redis.call('HSET', job_key, 'state', after(after(f[1], 'lease_lost') or f[1], event), 'claimant', claimant)
  redis.call('ZADD', running_key, now + lease_ms, member)
  -- From here the lease keeps the job: out of the queue, so that its length is the number waiting.
  if f[2] then redis.call('ZREM', queue, f[2]) end
  return redis.call('HINCRBY', job_key, 'fence', 1)
end
