-- Changes whom a session talks to, unless a newer socket speaks for it by now.
-- KEYS: session, registry
-- ARGV: gen of the socket, ttl_s, what (set, leave, anew), tenant, principal, connected_at, session id, persona id and name
local session_key, registry = KEYS[1], KEYS[2]
local gen, ttl_s, what, tenant, principal, connected_at, session_id, persona_id, persona_name = unpack(ARGV)
if tonumber(redis.call('HGET', session_key, 'gen') or '0') > tonumber(gen) then return 0 end
if what == 'set' then
  -- With its identity, should Redis have lost it.
  redis.call('HSET', session_key, 'tenant', tenant, 'principal', principal, 'connected_at', connected_at,
    'persona_id', persona_id, 'persona_name', persona_name)
  redis.call('HSETNX', session_key, 'message_count', 0)
  redis.call('ZADD', registry, 'NX', 0, session_id)
else
  redis.call('HDEL', session_key, 'persona_id', 'persona_name')
  if what == 'anew' then redis.call('HSET', session_key, 'message_count', 0) end
end
redis.call('EXPIRE', session_key, ttl_s)
return 1
