-- Append entries to a queue. Returns how many of them, from the first on, it had room for.
-- KEYS: list, info, tokens, counts of the queue, counts of all
-- ARGV: 1 for a process channel, capacity, expiry, group expiry, lifetimes of both counts,
--       1 if a refusal is to be counted, the entries, each from its number of targets on
--
-- This part takes what comes most often, a list that has room and whose head has not expired, before
-- the functions are defined that all other cases need: defining and calling them takes longer than
-- what is done here.

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local head = '\1' .. struct.pack('>I8', now + ARGV[3])
local total = #ARGV - 7
local length
if total == 1 then
  length = redis.call('RPUSH', KEYS[1], head .. ARGV[8])
else
  local entries = {}
  for i = 1, total do
    entries[i] = head .. ARGV[7 + i]
  end
  length = redis.call('RPUSH', KEYS[1], unpack(entries))
end
local plain = length == 1
if length > 1 and length <= tonumber(ARGV[2]) and (ARGV[1] ~= '1' or length <= 16) then
  plain = length == total or struct.unpack('>I8', redis.call('LINDEX', KEYS[1], 0), 2) > now
end
if plain then
  if ARGV[1] == '1' or redis.call('HEXISTS', KEYS[2], 'g') == 1 then
    redis.call('PEXPIRE', KEYS[1], ARGV[4])
  else
    redis.call('PEXPIRE', KEYS[1], ARGV[3])
  end
  local second = 'm' .. time[1]
  local own = redis.call('HINCRBY', KEYS[4], second, total)
  local all = redis.call('HINCRBY', KEYS[5], second, total)
  if own > total and all > total then
    return total
  end
end
