-- All that was recorded in earlier epochs is queued again, unless a job of one of them was recorded while it was looked
-- for: then it is to be looked for once more.
-- KEYS: epoch that is restored   ARGV: epoch
if redis.call('GET', KEYS[1]) ~= '?' .. ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1])
return 1
