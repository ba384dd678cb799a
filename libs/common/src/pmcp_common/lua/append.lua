-- Appends one event to each of several streams and tells their gateways, in one round trip.
-- KEYS: running, then job and stream of each item
-- ARGV: lease_ms, then for each item: tenant/job, fence, seq, event (JSON)
local running_key, lease_ms = KEYS[1], tonumber(ARGV[1])
local deadline = now_ms() + lease_ms
local results, live = {}, {}
for i = 1, (#KEYS - 1) / 2 do
  local job_key, stream_key = KEYS[2 * i], KEYS[2 * i + 1]
  local member, fence, seq, event = ARGV[4 * i - 2], ARGV[4 * i - 1], tonumber(ARGV[4 * i]), ARGV[4 * i + 1]
  local f = redis.call('HMGET', job_key, 'state', 'fence', 'seq', 'cancel', 'gateway')
  local at = tonumber(f[3])
  if not f[1] then results[i] = 'GONE'
  elseif TERMINAL[f[1]] then results[i] = 'TERMINAL'
  elseif f[2] ~= fence then results[i] = 'FENCED'
  elseif seq <= at then results[i] = seq == at and f[4] and 'CANCEL' or 'DUP'
  elseif seq ~= at + 1 then results[i] = 'GAP'
  elseif not after(f[1], 'append') then results[i] = 'ILLEGAL'
  else
    redis.call('XADD', stream_key, seq .. '-0', 'e', event)
    -- No longer than its job, should nobody end it.
    if seq == 1 then redis.call('EXPIRE', stream_key, redis.call('TTL', job_key)) end
    redis.call('HSET', job_key, 'seq', seq, 'state', after(f[1], 'append'))
    redis.call('ZADD', running_key, deadline, member)
    results[i] = f[4] and 'CANCEL' or 'OK'
    local events = live[f[5]]
    if events then events[#events + 1] = event else live[f[5]] = { event } end
  end
end
for gateway, events in pairs(live) do
  redis.call('PUBLISH', gateway, '[' .. table.concat(events, ',') .. ']')
end
return results
