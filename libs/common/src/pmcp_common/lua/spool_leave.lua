-- An entry leaves the spool: its rows are stored, or will never be and are kept, as they are, for an operator.
-- KEYS: spool, owed, tries, refused   ARGV: entry, reason ('': stored), most entries, its conversations (tenant/id)
local found = redis.call('XRANGE', KEYS[1], ARGV[1], ARGV[1])
if not found[1] then return 0 end -- another worker did, or a lost answer
if ARGV[2] ~= '' then
  local fields = found[1][2]
  fields[#fields + 1], fields[#fields + 2] = 'reason', ARGV[2]
  redis.call('XADD', KEYS[4], 'MAXLEN', '~', ARGV[3], '*', unpack(fields))
end
redis.call('XDEL', KEYS[1], ARGV[1])
redis.call('HDEL', KEYS[3], ARGV[1])
for i = 4, #ARGV do
  if redis.call('HINCRBY', KEYS[2], ARGV[i], -1) <= 0 then redis.call('HDEL', KEYS[2], ARGV[i]) end
end
-- Of entries that could not be read, or were dropped at the limit.
if redis.call('XLEN', KEYS[1]) == 0 then redis.call('DEL', KEYS[2]) end
return 1
