-- Admission, idempotency, the session's persona, the job, the order of its conversation and the queue: one step.
-- KEYS: job, session, running, epoch, conversations, queue, idempotency key (or the job key again when none)
local job_key, session_key, running_key, epoch_key, convs_key, queue, idem_key = unpack(KEYS)
local tenant, job_id, message_id, principal, player_id, persona_id, persona_name, gateway, submission, body_hash,
  epoch_candidate = unpack(ARGV, 1, 11)
local max_queue, max_conversation, pickup_ms, job_ttl_s, session_ttl_s, idem_ttl_s, deadline_ms, gen,
  on_interrupt = unpack(ARGV, 12, 20)

-- A newer socket speaks for this session (no generation stored: Redis lost it, or it was never opened).
if tonumber(redis.call('HGET', session_key, 'gen') or '0') > tonumber(gen) then return { 'REPLACED' } end

redis.call('SET', epoch_key, epoch_candidate, 'NX')
local epoch = redis.call('GET', epoch_key)

if idem_key ~= job_key then
  local seen = redis.call('GET', idem_key)
  if seen then
    local old = cjson.decode(seen)
    if old.body ~= body_hash then return { 'CONFLICT' } end
    local old_key = 'pmcp:{' .. tenant .. '/' .. old.job .. '}:job'
    if redis.call('EXISTS', old_key) == 0 then return { 'DUP_GONE', old.job, old.message } end
    redis.call('HSET', old_key, 'gateway', gateway)
    return { 'DUP', epoch, old.persona_id, old.persona_name, old.job, old.message,
      tostring(redis.call('HINCRBY', old_key, 'attachment', 1)) }
  end
end
if redis.call('EXISTS', job_key) == 1 then -- the caller retried after a lost answer
  local f = redis.call('HMGET', job_key, 'persona_id', 'persona_name')
  return { 'OK', epoch, f[1], f[2] }
end

if persona_id == '' then
  local f = redis.call('HMGET', session_key, 'persona_id', 'persona_name')
  if not f[1] then return { 'NO_PERSONA' } end
  persona_id, persona_name = f[1], f[2]
end
if redis.call('ZCARD', queue) >= tonumber(max_queue) then return { 'QUEUE_FULL' } end

local conversation = 'conv_' .. string.sub(redis.sha1hex(tenant .. '\0' .. persona_id .. '\0' .. player_id), 1, 32)
local line = 'pmcp:conv:' .. tenant .. ':' .. conversation .. ':q'
-- A head whose job has expired would block its conversation for ever.
local head = redis.call('LINDEX', line, 0)
while head and redis.call('EXISTS', 'pmcp:{' .. tenant .. '/' .. head .. '}:job') == 0 do
  redis.call('LPOP', line)
  head = redis.call('LINDEX', line, 0)
end
local waiting = redis.call('LLEN', line)
if waiting >= tonumber(max_conversation) then return { 'CONVERSATION_FULL' } end

local now = now_ms()
redis.call('HSET', job_key, 'state', 'queued', 'fence', 0, 'attempts', 0, 'seq', 0, 'enqueues', 0,
  'principal', principal, 'gateway', gateway, 'persona_id', persona_id, 'persona_name', persona_name,
  'conversation_id', conversation, 'epoch', epoch, 'submitted_ms', now, 'deadline_ms', now + tonumber(deadline_ms),
  'submission', submission, 'on_interrupt', on_interrupt)
redis.call('EXPIRE', job_key, job_ttl_s)
redis.call('ZADD', UNRECORDED, now, tenant .. '/' .. job_id)
redis.call('RPUSH', line, job_id)
redis.call('EXPIRE', line, job_ttl_s)
if waiting == 0 then
  enqueue_reply(job_key, running_key, queue, tenant, job_id, now, math.min(tonumber(pickup_ms), tonumber(deadline_ms)))
end
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
