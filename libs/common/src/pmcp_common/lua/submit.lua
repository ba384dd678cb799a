-- Admission, idempotency, the session's persona, the job, the order of its conversation and the queue: one step.
-- KEYS: job, session, running, epoch, conversations, queue, idempotency key (or the job key again when none)
local job_key, session_key, running_key, epoch_key, convs_key, queue, idem_key = unpack(KEYS)
local tenant, job_id, message_id, principal, player_id, persona_id, persona_name, gateway, submission, body_hash,
  epoch_candidate = unpack(ARGV, 1, 11)
local max_queue, max_conversation, pickup_ms, job_ttl_s, session_ttl_s, idem_ttl_s, deadline_ms, gen,
  on_interrupt, timed, sights_key, known_epoch, requeued = unpack(ARGV, 12, 24)

-- A newer socket speaks for this session (no generation stored: Redis lost it, or it was never opened).
if tonumber(redis.call('HGET', session_key, 'gen') or '0') > tonumber(gen) then return { 'REPLACED' } end

-- Its client was told that it will not come back.
if requeued ~= '' and redis.call('EXISTS', 'pmcp:{' .. tenant .. '/' .. job_id .. '}:given-up') == 1 then
  return { 'GIVEN_UP' }
end

redis.call('SET', epoch_key, epoch_candidate, 'NX')
local epoch = redis.call('GET', epoch_key)

if idem_key ~= job_key then
  local seen = redis.call('GET', idem_key)
  if seen then
    local old = cjson.decode(seen)
    if old.job == job_id then return { 'OK', epoch, old.persona_id, old.persona_name } end -- a lost answer
    if old.body ~= body_hash then return { 'CONFLICT' } end
    local old_key = 'pmcp:{' .. tenant .. '/' .. old.job .. '}:job'
    if redis.call('EXISTS', old_key) == 0 then return { 'DUP_GONE', old.job, old.message } end
    redis.call('HSET', old_key, 'gateway', gateway)
    return { 'DUP', epoch, old.persona_id, old.persona_name, old.job, old.message,
      tostring(redis.call('HINCRBY', old_key, 'attachment', 1)), redis.call('HGET', old_key, 'recorded') or '' }
  end
  -- The caller has known another life of the data: what it accepted then under this key may not be queued again yet.
  if requeued == '' and known_epoch ~= '' and known_epoch ~= epoch
      and redis.call('GET', epoch_key .. ':restored') ~= epoch then
    return { 'RESTORING' }
  end
end
if redis.call('EXISTS', job_key) == 1 then -- a lost answer
  local f = redis.call('HMGET', job_key, 'persona_id', 'persona_name')
  return { 'OK', epoch, f[1], f[2] }
end

-- The player's world is being loaded: this reply would know one world and belong to the other.
if requeued == '' then
  local held = redis.call('GET', 'pmcp:world:' .. tenant .. ':' .. player_id)
  if held and string.sub(held, 1, 5) == 'load:' then return { 'LOADING' } end
end

if persona_id == '' then
  local f = redis.call('HMGET', session_key, 'persona_id', 'persona_name')
  if not f[1] then return { 'NO_PERSONA' } end
  persona_id, persona_name = f[1], f[2]
end
-- What was accepted once has its place.
local bounded = requeued == ''
if bounded and redis.call('ZCARD', queue) >= tonumber(max_queue) then return { 'QUEUE_FULL' } end

local conversation = 'conv_' .. string.sub(redis.sha1hex(tenant .. '\0' .. persona_id .. '\0' .. player_id), 1, 32)
local line = 'pmcp:conv:' .. tenant .. ':' .. conversation .. ':q'
local now = now_ms()
run_first(line, running_key, queue, tenant, now, tonumber(pickup_ms))
local waiting = redis.call('LLEN', line)
if bounded and waiting >= tonumber(max_conversation) then return { 'CONVERSATION_FULL' } end

-- Above every fence of an earlier life: a worker may still hold this job's claim of then.
local fence = requeued ~= '' and string.format('%d', now) or 0
redis.call('HSET', job_key, 'state', 'queued', 'fence', fence, 'attempts', 0, 'seq', 0, 'enqueues', 0,
  'principal', principal, 'gateway', gateway, 'persona_id', persona_id, 'persona_name', persona_name,
  'conversation_id', conversation, 'epoch', epoch, 'submitted_ms', now, 'deadline_ms', now + tonumber(deadline_ms),
  'submission', submission, 'on_interrupt', on_interrupt, 'sights', sights_key)
if timed ~= '' then redis.call('HSET', job_key, 'timed', 1) end
redis.call('EXPIRE', job_key, job_ttl_s)
redis.call('ZADD', UNRECORDED, now, tenant .. '/' .. job_id)
-- Behind another turn it is looked after as well: its deadline may come first.
redis.call('ZADD', running_key, now + math.min(pickup_ms, deadline_ms), tenant .. '/' .. job_id)
redis.call('RPUSH', line, job_id)
redis.call('EXPIRE', line, job_ttl_s)
run_first(line, running_key, queue, tenant, now, tonumber(pickup_ms))
if idem_key ~= job_key then
  redis.call('SET', idem_key, cjson.encode({ body = body_hash, job = job_id, message = message_id,
    persona_id = persona_id, persona_name = persona_name }), 'EX', idem_ttl_s)
end
if redis.call('EXISTS', session_key) == 1 then
  redis.call('HINCRBY', session_key, 'message_count', 1)
  redis.call('HSET', session_key, 'last_seen_ms', now)
  redis.call('EXPIRE', session_key, session_ttl_s)
end
redis.call('ZADD', convs_key, now, conversation)
redis.call('ZREMRANGEBYSCORE', convs_key, '-inf', now - session_ttl_s * 1000)
return { 'OK', epoch, persona_id, persona_name }
