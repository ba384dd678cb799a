-- A stream that is gone with the data is waited for no longer: from here its job may not be queued again.
-- KEYS: job, its mark   ARGV: seconds the mark is kept
if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
redis.call('SET', KEYS[2], 1, 'EX', ARGV[1])
return 1
