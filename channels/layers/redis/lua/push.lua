-- The other cases of push_quick.lua: a list that may be full, or whose head has expired, and the
-- first count in a second.

local capacity, process = tonumber(ARGV[2]), ARGV[1] == '1'
if plain then
  fold(KEYS[4], now, ARGV[5])
  fold(KEYS[5], now, ARGV[6])
  return total
end
if total > 1 then -- there may be room for some of them
  redis.call('LTRIM', KEYS[1], 0, -total - 1)
end
local stored = 0
while stored < total do
  local entry = head .. ARGV[8 + stored]
  if total > 1 then
    length = redis.call('RPUSH', KEYS[1], entry)
  end
  if not admit(KEYS[1], KEYS[2], KEYS[3], entry, length, now, process, ARGV[3], ARGV[4], capacity) then
    break
  end
  stored = stored + 1
end
count(KEYS[4], 'm', stored, now, ARGV[5])
count(KEYS[5], 'm', stored, now, ARGV[6])
if ARGV[7] == '1' then
  count(KEYS[4], 'f', total - stored, now, ARGV[5])
  count(KEYS[5], 'f', total - stored, now, ARGV[6])
end
return stored
