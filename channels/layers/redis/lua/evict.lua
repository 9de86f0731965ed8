-- An entry was taken whose deadline has passed, by the reader's clock. Where this one agrees, what
-- goes with it goes. Returns 1 and the eviction, or 0 where the entry is good.
-- KEYS: list, info, tokens
-- ARGV: 1 for a process channel, capacity, group expiry, the deadline

local now = clock()
local process = ARGV[1] == '1'
if tonumber(ARGV[4]) > now then
  return {0, ''}
end
if process then
  redis.call('DEL', KEYS[1])
end
if process or redis.call('HEXISTS', KEYS[2], 'g') == 1 then
  evict(KEYS[2], now, ARGV[3])
end
purge(KEYS[1], KEYS[2], KEYS[3], now, process, ARGV[3], tonumber(ARGV[2]))
wake(KEYS[1], KEYS[2], KEYS[3], tonumber(ARGV[2]))
return {1, redis.call('HGET', KEYS[2], 'e') or ''}
