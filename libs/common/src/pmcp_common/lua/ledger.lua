-- What the record of accepted jobs lacks, for the one process that keeps it now.
-- KEYS: epoch, lease, epoch that is restored, spool   ARGV: this process, an epoch if there is none, lease_ms, limit,
-- ms for which a job is left to the gateway that accepted it
redis.call('SET', KEYS[1], ARGV[2], 'NX')
local epoch = redis.call('GET', KEYS[1])
local keeper = redis.call('GET', KEYS[2])
if keeper and keeper ~= ARGV[1] then return { epoch, 0, {}, {}, '' } end
redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[3])
local jobs = {}
for _, member in ipairs(redis.call('ZRANGEBYSCORE', UNRECORDED, '-inf', now_ms() - ARGV[5], 'LIMIT', 0, ARGV[4])) do
  local f = redis.call('HMGET', 'pmcp:{' .. member .. '}:job', 'state', 'submission', 'persona_id', 'persona_name')
  if not f[1] or TERMINAL[f[1]] then
    redis.call('ZREM', UNRECORDED, member)
  else
    jobs[#jobs + 1] = { member, f[2], f[3], f[4] }
  end
end
-- Rows in the spool may be of any job that ended since the oldest came there (before its end, or with it): until they
-- are stored, the record is what survives of that job.
local oldest = redis.call('XRANGE', KEYS[4], '-', '+', 'COUNT', 1)[1]
local before = oldest and '(' .. string.match(oldest[1], '^%d+') or '+inf'
local settled = redis.call('ZRANGEBYSCORE', SETTLED, '-inf', before, 'LIMIT', 0, ARGV[4])
return { epoch, 1, jobs, settled, redis.call('GET', KEYS[3]) or '' }
