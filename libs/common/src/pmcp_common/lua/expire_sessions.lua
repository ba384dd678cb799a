-- One pass over the sessions that are due to be looked at, by one keeper at a time. A session's HASH expires by itself;
-- what hangs on it goes here. A session that lives on is due again when its time would end.
-- What ended is told until the keeper names it in a later pass: an answer may be lost, and so may the keeper.
-- KEYS: registry, lease, ended   ARGV: keeper, lease_ms, limit, tenant, then the ended sessions the keeper knows of
local registry, lease, told = KEYS[1], KEYS[2], KEYS[3]
local keeper, lease_ms, limit, tenant = unpack(ARGV)
local held = redis.call('GET', lease)
if held and held ~= keeper then return { 0, 0, {} } end
redis.call('SET', lease, keeper, 'PX', lease_ms)
for i = 5, #ARGV do redis.call('SREM', told, ARGV[i]) end
local now = now_ms()
local due = redis.call('ZRANGEBYSCORE', registry, '-inf', now, 'LIMIT', 0, limit)
for _, session in ipairs(due) do
  local left = redis.call('PTTL', 'pmcp:sess:' .. tenant .. ':' .. session)
  if left == -2 then
    redis.call('UNLINK', 'pmcp:sights:' .. tenant .. ':' .. session, 'pmcp:talk-of:' .. tenant .. ':' .. session)
    redis.call('ZREM', registry, session)
    redis.call('SADD', told, session)
  else
    redis.call('ZADD', registry, now + math.max(left, 1000), session)
  end
end
return { 1, redis.call('ZCOUNT', registry, '-inf', now), redis.call('SMEMBERS', told) }
