-- Asks for the end of a reply. A job no worker holds is taken by the caller, who must finish it; not one whose text is
-- whole, of which a worker has to store the rows.
-- KEYS: job, running, queue
-- ARGV: tenant/job, principal, lease_ms, hint channel, heard_chars or '', attachment this is meant for or '', claimant
local job_key, running_key, queue = unpack(KEYS)
local f = redis.call('HMGET', job_key, 'state', 'principal', 'fence', 'attempts', 'attachment', 'verdict', 'claimant')
if not f[1] or f[2] ~= ARGV[2] then return { 'GONE' } end
if TERMINAL[f[1]] then return { 'TERMINAL', f[1] } end
if ARGV[6] ~= '' and ARGV[6] ~= (f[5] or '0') then return { 'ATTACHED', f[1] } end
redis.call('HSET', job_key, 'cancel', 1)
if ARGV[5] ~= '' then redis.call('HSETNX', job_key, 'heard_chars', ARGV[5]) end
local again = f[7] == ARGV[7] and f[1] ~= 'queued' -- this very call took it: its first answer was lost
if not again and (f[1] ~= 'queued' or f[6]) then
  redis.call('PUBLISH', ARGV[4], ARGV[1])
  return { 'CANCELLING' }
end
local now = now_ms()
local fence = again and f[3] or take(job_key, running_key, queue, ARGV[1], now, tonumber(ARGV[3]), ARGV[7])
return { 'TAKEN', fence, f[4], particulars(job_key, now) }
