-- Ends the exclusive hold of a talk and stores what became of it, unless the hold was lost meanwhile.
-- KEYS: talk, hold   ARGV: holder, talk (JSON, or '' to leave it as it is), ttl_s
local talk_key, hold_key = KEYS[1], KEYS[2]
local holder = redis.call('GET', hold_key)
if not holder and redis.call('GET', talk_key) == ARGV[2] then return 1 end -- this very call: its first answer was lost
if holder ~= ARGV[1] then return 0 end
redis.call('DEL', hold_key)
if ARGV[2] ~= '' then redis.call('SET', talk_key, ARGV[2], 'EX', ARGV[3]) end
return 1
