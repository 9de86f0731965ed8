-- Functions of the scripts about groups; put in front of those, behind the common ones.

-- Raise an error where the server's memory is full. It refuses the first write of a script only, and
-- not if that is one that frees memory; this one changes nothing.
local function needs_memory(members)
  redis.call('ZADD', members, 'XX', 'GT', 0, '')
end

-- Note that the queues or buckets of a group changed; clients compare the version.
local function changed(directory, now)
  if redis.call('HEXISTS', directory, '') == 0 then
    redis.call('HSET', directory, '', number(now * 1000))
  else
    redis.call('HINCRBY', directory, '', 1)
  end
end

local function forget(directory, queue, members, packs, now)
  redis.call('DEL', members, packs)
  if redis.call('HDEL', directory, queue) == 1 then
    changed(directory, now)
  end
end

-- Whether the memberships of a queue hold; they are forgotten where the queue was evicted since.
local function holds(directory, queue, info, members, packs, now)
  local evicted = redis.call('HGET', packs, 'e')
  if evicted and evicted == (redis.call('HGET', info, 'e') or '0') then
    return true
  end
  forget(directory, queue, members, packs, now)
  return false
end

-- The members in a bucket that have not expired, the one first that does so next.
local function in_bucket(members, bucket, now)
  local low = bucket * BUCKET
  redis.call('ZREMRANGEBYSCORE', members, number(low), number(low + now))
  return redis.call('ZRANGEBYSCORE', members, number(low), '(' .. number(low + BUCKET))
end

-- The targets of a bucket, how many they are, and whether that was work: a packed copy is right as
-- long as nobody came, left or expired.
local function packed(members, packs, bucket, now, process)
  local copy = redis.call('HGET', packs, 'p' .. bucket)
  if copy and deadline_of(copy) > now then
    local size = struct.unpack('>I2', copy, 10)
    return string.sub(copy, 12), size, false
  end
  local found = in_bucket(members, bucket, now)
  if #found == 0 then
    redis.call('HDEL', packs, 'p' .. bucket)
    return '', 0, false
  end
  local first = redis.call('ZSCORE', members, found[1]) - bucket * BUCKET
  local targets = ''
  if process then
    local parts = {}
    for i, member in ipairs(found) do
      parts[2 * i - 1] = string.char(#member)
      parts[2 * i] = member
    end
    targets = table.concat(parts)
  end
  copy = '\1' .. struct.pack('>I8', first) .. struct.pack('>I2', #found) .. targets
  redis.call('HSET', packs, 'p' .. bucket, copy)
  return targets, #found, true
end
