-- Counts a try at an entry of the spool. Returns how many there were, and how long ago the first one was, in ms.
-- KEYS: tries   ARGV: entry
local now = now_ms()
local tries, first = 0, now
local held = redis.call('HGET', KEYS[1], ARGV[1])
if held then tries, first = string.match(held, '^(%d+) (%d+)$') end
tries, first = tonumber(tries) + 1, tonumber(first)
redis.call('HSET', KEYS[1], ARGV[1], string.format('%d %d', tries, first))
return { tries, now - first }
