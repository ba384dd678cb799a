-- Takes a reply that is past its deadline from whoever should have ended it; the caller must end it.
-- A worker that lives is left a moment: it knows the client's deadline too. One that is storing the rows is left longer,
-- and so is one whose client set no deadline.
-- KEYS: job, running, queue   ARGV: tenant/job, principal, lease_ms, moment_ms, longer_ms, claimant
local job_key, running_key, queue = unpack(KEYS)
local member, principal, lease_ms, moment_ms, longer_ms, claimant = unpack(ARGV)
local f = redis.call('HMGET', job_key, 'state', 'principal', 'deadline_ms', 'attempts', 'timed', 'verdict', 'claimant',
  'fence')
if not f[1] or f[2] ~= principal then return { 'GONE' } end
if TERMINAL[f[1]] then return { 'TERMINAL' } end
local now = now_ms()
if f[7] == claimant and f[1] ~= 'queued' then -- this very call took it: its first answer was lost
  return { 'TAKEN', f[8], f[4], particulars(job_key, now) }
end
local due = tonumber(f[3])
if f[6] then due = due + longer_ms
elseif f[1] ~= 'queued' and tonumber(redis.call('ZSCORE', running_key, member) or '0') > now then
  due = due + (f[5] and moment_ms or longer_ms)
end
if due > now then return { 'EARLY', due - now } end
local fence = take(job_key, running_key, queue, member, now, tonumber(lease_ms), claimant)
return { 'TAKEN', fence, f[4], particulars(job_key, now) }
