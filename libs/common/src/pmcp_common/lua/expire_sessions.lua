-- One pass over the sessions that are due to be looked at, by one keeper at a time. A session's HASH expires by itself;
-- what hangs on it goes here. A session that lives on is due again when its time would end.
-- KEYS: registry, lease   ARGV: keeper, lease_ms, limit, tenant
local registry, lease = KEYS[1], KEYS[2]
local keeper, lease_ms, limit, tenant = unpack(ARGV)
local held = redis.call('GET', lease)
if held and held ~= keeper then return { 0, 0, {} } end
redis.call('SET', lease, keeper, 'PX', lease_ms)
local now, ended = now_ms(), {}
local due = redis.call('ZRANGEBYSCORE', registry, '-inf', now, 'LIMIT', 0, limit)
for _, session in ipairs(due) do
  local left = redis.call('PTTL', 'pmcp:sess:' .. tenant .. ':' .. session)
  if left == -2 then
    redis.call('UNLINK', 'pmcp:sights:' .. tenant .. ':' .. session, 'pmcp:talk-of:' .. tenant .. ':' .. session)
    redis.call('ZREM', registry, session)
    ended[#ended + 1] = session
  else
    redis.call('ZADD', registry, now + math.max(left, 1000), session)
  end
end
return { 1, #due, ended }
