-- Asks for the end of a reply. A job no worker holds is taken by the caller, who must finish it.
-- KEYS: job, running, queue
-- ARGV: tenant/job, principal, lease_ms, hint channel, heard_chars or '', attachment this is meant for or ''
local job_key, running_key, queue = unpack(KEYS)
local f = redis.call('HMGET', job_key, 'state', 'principal', 'submission', 'persona_id', 'persona_name', 'seq',
  'attempts', 'submitted_ms', 'attachment')
if not f[1] or f[2] ~= ARGV[2] then return { 'GONE' } end
if TERMINAL[f[1]] then return { 'TERMINAL', f[1] } end
if ARGV[6] ~= '' and ARGV[6] ~= (f[9] or '0') then return { 'ATTACHED', f[1] } end
redis.call('HSET', job_key, 'cancel', 1)
if ARGV[5] ~= '' then redis.call('HSETNX', job_key, 'heard_chars', ARGV[5]) end
if f[1] ~= 'queued' then
  redis.call('PUBLISH', ARGV[4], ARGV[1])
  return { 'CANCELLING' }
end
local now = now_ms()
local fence = take(job_key, running_key, queue, ARGV[1], now, tonumber(ARGV[3]))
return { 'TAKEN', fence, f[7], f[3], f[4], f[5], f[6], '1', string.format('%d', now - f[8]) }
