-- Moves the live channel of streams to another gateway, each only when all of it can still be shown.
-- The caller listens before it asks and reads afterwards, so that nothing falls between replay and live.
-- KEYS: epoch, then job and stream of each item   ARGV: principal, gateway, then epoch and last seq of each item
local epoch = redis.call('GET', KEYS[1]) or ''
local principal, gateway = ARGV[1], ARGV[2]
local results = {}
for i = 1, (#KEYS - 1) / 2 do
  local job_key, stream_key = KEYS[2 * i], KEYS[2 * i + 1]
  local wanted, last_seq = ARGV[2 * i + 1], tonumber(ARGV[2 * i + 2])
  local f = redis.call('HMGET', job_key, 'principal', 'state', 'seq', 'epoch', 'on_interrupt')
  local head = tonumber(f[3] or '0')
  local kept = redis.call('XLEN', stream_key)
  local reason
  if wanted ~= epoch then reason = 'epoch_changed'
  elseif f[1] ~= principal then reason = 'not_resumable'
  elseif wanted ~= f[4] then reason = 'epoch_changed'
  elseif last_seq > head then reason = 'ahead'
  elseif kept == 0 and head > 0 then reason = 'expired'
  elseif kept ~= head then reason = 'gap'
  end
  if reason then
    results[i] = { reason, epoch }
  else
    redis.call('HSET', job_key, 'gateway', gateway)
    results[i] = { 'OK', f[4], f[2], head, redis.call('HINCRBY', job_key, 'attachment', 1),
      f[5] or 'continue' }
  end
end
return results
