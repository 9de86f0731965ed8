-- Add a member to a group, or renew its membership.
-- KEYS: directory, list, info, tokens, members, packs
-- ARGV: queue, local part, 1 for a process channel, capacity, group expiry

local now = clock()
local members, packs = KEYS[5], KEYS[6]
needs_memory(members)
purge(KEYS[2], KEYS[3], KEYS[4], now, ARGV[3] == '1', ARGV[5], tonumber(ARGV[4]))
holds(KEYS[1], ARGV[1], KEYS[3], members, packs, now)

local function size(bucket)
  return redis.call('ZCOUNT', members, number(bucket * BUCKET), '(' .. number((bucket + 1) * BUCKET))
end

-- The bucket of a new member: the one that was filled last, another with room, a new one.
local function place(buckets)
  local open = tonumber(redis.call('HGET', packs, 'o') or 0)
  if size(open) < BUCKET_SIZE then
    return open
  end
  open = math.min(buckets, 2047)
  for bucket = 0, buckets - 1 do
    if size(bucket) < BUCKET_SIZE * 0.75 then
      open = bucket
      break
    end
  end
  redis.call('HSET', packs, 'o', open)
  return open
end

local buckets = tonumber(redis.call('HGET', KEYS[1], ARGV[1]) or 1)
local score = redis.call('ZSCORE', members, ARGV[2])
local bucket
if score then
  bucket = math.floor(score / BUCKET)
else
  bucket = place(buckets)
  redis.call('HDEL', packs, 'p' .. bucket)
end
redis.call('ZADD', members, number(bucket * BUCKET + now + ARGV[5]), ARGV[2])
redis.call('HSET', packs, 'e', redis.call('HGET', KEYS[3], 'e') or '0')
redis.call('HSET', KEYS[3], 'g', 1)
if redis.call('HEXISTS', KEYS[1], ARGV[1]) == 0 or bucket >= buckets then
  redis.call('HSET', KEYS[1], ARGV[1], math.max(buckets, bucket + 1))
  changed(KEYS[1], now)
end
for _, key in ipairs({KEYS[1], KEYS[3], members, packs}) do
  keep(key, ARGV[5])
end
if ARGV[3] == '0' and redis.call('EXISTS', KEYS[2]) == 1 then
  keep(KEYS[2], ARGV[5])  -- its messages count for the membership from now on
end
return 1
