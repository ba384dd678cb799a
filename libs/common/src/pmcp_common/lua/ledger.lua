-- What the record of accepted jobs lacks, for the one process that keeps it now.
-- KEYS: epoch, lease, epoch that is restored   ARGV: this process, an epoch if there is none, lease_ms, limit
redis.call('SET', KEYS[1], ARGV[2], 'NX')
local epoch = redis.call('GET', KEYS[1])
local keeper = redis.call('GET', KEYS[2])
if keeper and keeper ~= ARGV[1] then return { epoch, 0, {}, {}, '' } end
redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[3])
local jobs = {}
for _, member in ipairs(redis.call('ZRANGE', UNRECORDED, 0, ARGV[4] - 1)) do
  local f = redis.call('HMGET', 'pmcp:{' .. member .. '}:job', 'state', 'submission', 'persona_id', 'persona_name')
  if not f[1] or TERMINAL[f[1]] then
    redis.call('ZREM', UNRECORDED, member)
  else
    jobs[#jobs + 1] = { member, f[2], f[3], f[4] }
  end
end
return { epoch, 1, jobs, redis.call('ZRANGE', SETTLED, 0, ARGV[4] - 1), redis.call('GET', KEYS[3]) or '' }
