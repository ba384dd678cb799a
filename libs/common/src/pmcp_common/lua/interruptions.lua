-- Replies whose socket was lost: notes new ones, and hands out those whose time has come, each again later until struck.
-- KEYS: interruptions   ARGV: grace_ms, again_ms, limit, then what to note
local now = now_ms()
for i = 4, #ARGV do redis.call('ZADD', KEYS[1], 'NX', now + tonumber(ARGV[1]), ARGV[i]) end
local due = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, ARGV[3])
for _, member in ipairs(due) do redis.call('ZADD', KEYS[1], now + tonumber(ARGV[2]), member) end
return due
