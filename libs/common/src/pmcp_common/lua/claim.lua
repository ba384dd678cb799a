-- A worker takes the job: fence + 1, lease. A living lease of another worker is respected.
-- KEYS: job, running, queue
-- ARGV: tenant/job, lease_ms, max_attempts, ticket (the queue's entry this caller runs, or ''), claimant (of this call)
local job_key, running_key, queue = unpack(KEYS)
local member, lease_ms, max_attempts, ticket, claimant = unpack(ARGV)
local now = now_ms()
local f = redis.call('HMGET', job_key, 'state', 'ticket', 'claimant', 'fence', 'attempts', 'sights')
local refusal
if not f[1] then refusal = 'GONE'
elseif TERMINAL[f[1]] then refusal = 'TERMINAL'
elseif f[3] == claimant and not after(f[1], 'claim') then -- this very call: its first answer was lost
elseif not after(f[1], 'claim') or (ticket ~= '' and ticket ~= f[2]) then refusal = 'HELD'
end
if refusal then
  if ticket ~= '' then redis.call('ZREM', queue, ticket) end -- an old entry leads nowhere
  return { refusal }
end
local fence, attempts = f[4], f[5]
if after(f[1], 'claim') then
  attempts = redis.call('HINCRBY', job_key, 'attempts', 1)
  fence = take(job_key, running_key, queue, member, now, tonumber(lease_ms), claimant)
end
local submission, persona_id, persona_name, seq, cancel, queued_ms, handed_back, verdict = particulars(job_key, now)
local status = tonumber(attempts) - tonumber(handed_back) > tonumber(max_attempts) and 'EXHAUSTED' or 'OK'
local sights = f[6] and redis.call('HGETALL', f[6]) or {}
return { status, fence, attempts, submission, persona_id, persona_name, seq, cancel, queued_ms, handed_back, verdict,
  sights }
