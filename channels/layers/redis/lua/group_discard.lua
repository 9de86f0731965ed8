-- Take a member out of a group.
-- KEYS: directory, members, packs
-- ARGV: queue, local part

local score = redis.call('ZSCORE', KEYS[2], ARGV[2])
if not score then
  return 0
end
redis.call('ZREM', KEYS[2], ARGV[2])
redis.call('HDEL', KEYS[3], 'p' .. math.floor(score / BUCKET))
if redis.call('ZCARD', KEYS[2]) == 0 then
  forget(KEYS[1], ARGV[1], KEYS[2], KEYS[3], clock())
end
return 1
