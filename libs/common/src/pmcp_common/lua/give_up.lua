-- A stream that is gone with the data is waited for no longer: from here its job may not be queued again.
-- KEYS: job, its mark, epoch, epoch that is restored
-- ARGV: seconds the mark is kept, '1': also while lost jobs are still being queued again
if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
if ARGV[2] ~= '1' then
  local epoch = redis.call('GET', KEYS[3])
  if not epoch or redis.call('GET', KEYS[4]) ~= epoch then return 0 end
end
redis.call('SET', KEYS[2], 1, 'EX', ARGV[1])
return 1
