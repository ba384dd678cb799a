-- Gives a session a resume token, and a new generation: sockets of older generations may speak for it no more.
-- A socket that was replaced may not take the session back this way.
-- KEYS: session   ARGV: tenant, principal, connected_at, token hash, notices channel, ttl_s, gen of the socket
local session_key = KEYS[1]
local tenant, principal, connected_at, token, notices, ttl_s, gen = unpack(ARGV)
local f = redis.call('HMGET', session_key, 'gen', 'token')
if f[2] == token then return tonumber(f[1]) end -- this very call: its first answer was lost
if tonumber(f[1] or '0') > tonumber(gen) then return 0 end
redis.call('HSET', session_key, 'tenant', tenant, 'principal', principal, 'connected_at', connected_at,
  'token', token, 'notices', notices)
redis.call('HSETNX', session_key, 'message_count', 0)
redis.call('HDEL', session_key, 'token_before', 'before_until_ms')
redis.call('EXPIRE', session_key, ttl_s)
-- Above the caller's too: Redis may have lost the stored one, and older sockets still know theirs.
local next_gen = math.max(tonumber(f[1] or '0'), tonumber(gen)) + 1
redis.call('HSET', session_key, 'gen', next_gen)
return next_gen
