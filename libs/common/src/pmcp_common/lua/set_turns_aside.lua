-- Moves an entry of the spool, as it is, to where an operator finds it.
-- KEYS: spool, refused, tries   ARGV: entry, limit, reason
local found = redis.call('XRANGE', KEYS[1], ARGV[1], ARGV[1])
if not found[1] then return 0 end -- another worker did, or a lost answer
local fields = found[1][2]
fields[#fields + 1], fields[#fields + 2] = 'reason', ARGV[3]
redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[2], '*', unpack(fields))
redis.call('XDEL', KEYS[1], ARGV[1])
redis.call('HDEL', KEYS[3], ARGV[1])
return 1
