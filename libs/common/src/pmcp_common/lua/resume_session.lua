-- A new socket takes the session over: generation + 1, token rotated, the gateway of the older socket told.
-- The token just used stays good for a moment: the answer with the new one may be lost on its way.
-- KEYS: session, the socket's own session until now (forgotten when it was never opened)
-- ARGV: tenant, principal, session id, hash of the token shown, of the next one, notices channel, holder, grace_ms, ttl_s
local session_key = KEYS[1]
local tenant, principal, session_id, shown, token, notices, holder, grace_ms, ttl_s = unpack(ARGV)
local f = redis.call('HMGET', session_key, 'tenant', 'principal', 'token', 'token_before', 'before_until_ms', 'notices')
if not f[2] or f[1] ~= tenant or f[2] ~= principal then return { 'EXPIRED' } end
local now = now_ms()
local again = f[4] == shown and tonumber(f[5] or '0') > now
if f[3] ~= shown and not again then return { 'REFUSED' } end
local gen = redis.call('HINCRBY', session_key, 'gen', 1)
redis.call('HSET', session_key, 'token', token, 'token_before', shown, 'before_until_ms', now + tonumber(grace_ms),
  'notices', notices)
redis.call('EXPIRE', session_key, ttl_s)
if KEYS[2] ~= session_key and not redis.call('HGET', KEYS[2], 'gen') then redis.call('UNLINK', KEYS[2]) end
if f[6] then
  redis.call('PUBLISH', f[6], cjson.encode({ session_id = session_id, gen = gen, holder = holder }))
end
local g = redis.call('HMGET', session_key, 'connected_at', 'persona_id', 'persona_name')
return { 'OK', gen, g[1] or '', g[2] or '', g[3] or '' }
