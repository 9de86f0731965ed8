-- Whether there is room. Returns -1 where there is, else the milliseconds until the oldest entry
-- expires; who waits is then counted, and blocks on the list of tokens.
-- KEYS: list, info, tokens
-- ARGV: 1 for a process channel, capacity, group expiry, 1 if the sender waits

local now = clock()
local process = ARGV[1] == '1'
local head = purge(KEYS[1], KEYS[2], KEYS[3], now, process, ARGV[3], tonumber(ARGV[2]))
local length = redis.call('LLEN', KEYS[1])
if not head or not is_over(KEYS[1], length + 1, tonumber(ARGV[2]), process) then
  return -1
end
if ARGV[4] == '1' then
  -- tokens that nobody took yet mean no room any more: their owners are counted again
  redis.call('HINCRBY', KEYS[2], 'w', 1 + redis.call('LLEN', KEYS[3]))
  redis.call('DEL', KEYS[3])
  keep(KEYS[2], deadline_of(head) - now + 60000)  -- who waits does so until then at most
  flag(KEYS[1])
end
return deadline_of(head) - now
