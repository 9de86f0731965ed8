-- Append an entry to a queue. Returns 1, or 0 where it is full.
-- KEYS: list, info, tokens, counts of the queue, counts of all
-- ARGV: 1 for a process channel, capacity, expiry, group expiry, lifetimes of both counts,
--       1 if a refusal is to be counted, the entry from its number of targets on

local now = clock()
local process = ARGV[1] == '1'
local entry = '\1' .. struct.pack('>I8', now + ARGV[3]) .. ARGV[8]
if append(KEYS[1], KEYS[2], KEYS[3], entry, now, process, ARGV[3], ARGV[4], tonumber(ARGV[2])) then
  count(KEYS[4], 'm', now, ARGV[5])
  count(KEYS[5], 'm', now, ARGV[6])
  return 1
end
if ARGV[7] == '1' then
  count(KEYS[4], 'f', now, ARGV[5])
  count(KEYS[5], 'f', now, ARGV[6])
end
return 0
