-- Rows that cannot be stored now join the line. What is said later in their conversations has to wait behind them.
-- KEYS: spool, owed   ARGV: most entries, tenant, turns (JSON), conversation ids
for i = 4, #ARGV do redis.call('HINCRBY', KEYS[2], ARGV[2] .. '/' .. ARGV[i], 1) end
return redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[1], '*', 'tenant', ARGV[2], 'turns', ARGV[3])
