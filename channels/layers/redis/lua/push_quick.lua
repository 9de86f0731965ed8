-- Append an entry to a queue. Returns 1, or 0 where it is full.
-- KEYS: list, info, tokens, counts of the queue, counts of all
-- ARGV: 1 for a process channel, capacity, expiry, group expiry, lifetimes of both counts,
--       1 if a refusal is to be counted, the entry from its number of targets on
--
-- This part takes what comes most often, a list that has room and whose head has not expired, before
-- the functions are defined that all other cases need: defining and calling them takes longer than
-- what is done here.

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local entry = '\1' .. struct.pack('>I8', now + ARGV[3]) .. ARGV[8]
local length = redis.call('RPUSH', KEYS[1], entry)
local plain = length == 1
if length > 1 and length <= tonumber(ARGV[2]) and (ARGV[1] ~= '1' or length <= 16) then
  plain = struct.unpack('>I8', redis.call('LINDEX', KEYS[1], 0), 2) > now
end
if plain then
  if ARGV[1] == '1' or redis.call('HEXISTS', KEYS[2], 'g') == 1 then
    redis.call('PEXPIRE', KEYS[1], ARGV[4])
  else
    redis.call('PEXPIRE', KEYS[1], ARGV[3])
  end
  local second = 'm' .. time[1]
  local own = redis.call('HINCRBY', KEYS[4], second, 1)
  local all = redis.call('HINCRBY', KEYS[5], second, 1)
  if own > 1 and all > 1 then
    return 1
  end
end
