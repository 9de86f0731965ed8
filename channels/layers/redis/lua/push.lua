-- The other cases of push_quick.lua: a list that may be full, or whose head has expired, and the
-- first count in a second.

local capacity, process = tonumber(ARGV[2]), ARGV[1] == '1'
if plain then
  fold(KEYS[4], now, ARGV[5])
  fold(KEYS[5], now, ARGV[6])
  return 1
end
if admit(KEYS[1], KEYS[2], KEYS[3], entry, length, now, process, ARGV[3], ARGV[4], capacity) then
  count(KEYS[4], 'm', now, ARGV[5])
  count(KEYS[5], 'm', now, ARGV[6])
  return 1
end
if ARGV[7] == '1' then
  count(KEYS[4], 'f', now, ARGV[5])
  count(KEYS[5], 'f', now, ARGV[6])
end
return 0
