-- What is known of a queue: entries, deadline of the oldest one, the time, counts.
-- KEYS: list, info, tokens, counts
-- ARGV: 1 for a process channel, capacity, group expiry

local now = clock()
local process = ARGV[1] == '1'
local head = purge(KEYS[1], KEYS[2], KEYS[3], now, process, ARGV[3], tonumber(ARGV[2]))
return {
  redis.call('LLEN', KEYS[1]),
  head and number(deadline_of(head)) or '0',
  number(now),
  redis.call('HGETALL', KEYS[4]),
}
