-- Functions that the scripts share; this text is put in front of each of them. The key schema is in
-- docs/redis.md. Times are milliseconds of the server's clock.

local BUCKET = 4398046511104  -- 2^42: scores of memberships are bucket * 2^42 + deadline
local BUCKET_SIZE = 1000
local MAX_TARGETS = 2000
local PROCESS_BYTES = 67108864

local function clock()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

local function number(value)
  return string.format('%.0f', value)
end

local function deadline_of(entry)
  return struct.unpack('>I8', entry, 2)
end

-- Let a key live for `ms` at least.
local function keep(key, ms)
  if redis.call('PTTL', key) < tonumber(ms) then
    redis.call('PEXPIRE', key, ms)
  end
end

-- Mark the head, so that whoever takes it knows that senders wait for room.
local function flag(list)
  local head = redis.call('LINDEX', list, 0)
  if head and string.byte(head) < 128 then
    redis.call('LSET', list, 0, string.char(string.byte(head) + 128) .. string.sub(head, 2))
  end
end

-- Wake as many senders as there is room for; all of them where the list is empty, since those woken
-- earlier may never send.
local function wake(list, info, tokens, capacity)
  local waiting = tonumber(redis.call('HGET', info, 'w') or 0)
  if waiting <= 0 then
    return
  end
  local length = redis.call('LLEN', list)
  local woken = length == 0 and waiting or math.min(waiting, math.max(capacity - length, 0))
  for _ = 1, woken do
    redis.call('RPUSH', tokens, '')
  end
  if woken > 0 then
    redis.call('PEXPIRE', tokens, 60000)
    redis.call('HINCRBY', info, 'w', -woken)
  end
  if woken < waiting then
    flag(list)
  end
end

-- Write down that the members behind this list left their groups.
local function evict(info, now, group_expiry)
  redis.call('HSET', info, 'e', number(now))
  redis.call('HDEL', info, 'g')
  keep(info, group_expiry)
end

-- Remove what expired: single entries, or the whole list of a process that does not read.
local function purge(list, info, tokens, now, process, group_expiry, capacity)
  local gone = false
  local head = redis.call('LINDEX', list, 0)
  while head and deadline_of(head) <= now do
    gone = true
    if process then
      redis.call('DEL', list)
      head = false
    else
      redis.call('LPOP', list)
      head = redis.call('LINDEX', list, 0)
    end
  end
  if gone then
    if process or redis.call('HEXISTS', info, 'g') == 1 then
      evict(info, now, group_expiry)
    end
    wake(list, info, tokens, capacity)
  end
  return head
end

-- Put the counts of seconds before the previous one into one number, and prolong the key's life.
local function fold(key, now, ttl)
  local second = math.floor(now / 1000)
  local fields = redis.call('HGETALL', key)
  for i = 1, #fields, 2 do
    local name, old = string.match(fields[i], '^(%a)(%d+)$')
    if old and tonumber(old) < second - 1 then
      redis.call('HINCRBY', key, name, fields[i + 1])
      redis.call('HDEL', key, fields[i])
    end
  end
  redis.call('PEXPIRE', key, ttl)
end

-- Count events of `kind` in the present second, if there are any.
local function count(key, kind, events, now, ttl)
  local name = kind .. number(math.floor(now / 1000))
  if events > 0 and redis.call('HINCRBY', key, name, events) == events then
    fold(key, now, ttl)
  end
end

local function is_over(list, length, capacity, process)
  if length > capacity then
    return true
  end
  if not process or length <= 16 then  -- as in push_quick.lua: so many messages of the greatest size still fit
    return false
  end
  return redis.call('MEMORY', 'USAGE', list, 'SAMPLES', 0) > PROCESS_BYTES
end

-- See to an entry that was appended, so that `length` entries are there; false where the list is
-- full, and the entry taken off again.
local function admit(list, info, tokens, entry, length, now, process, expiry, group_expiry, capacity)
  if length > 1 then
    local head = redis.call('LINDEX', list, 0)
    if deadline_of(head) <= now then
      redis.call('RPOP', list)
      purge(list, info, tokens, now, process, group_expiry, capacity)
      length = redis.call('RPUSH', list, entry)
    end
    if is_over(list, length, capacity, process) then
      redis.call('RPOP', list)
      return false
    end
  end
  -- a list whose key expires looks as if it had been read, so that its members would stay
  if process or redis.call('HEXISTS', info, 'g') == 1 then
    redis.call('PEXPIRE', list, group_expiry)
  else
    redis.call('PEXPIRE', list, expiry)
  end
  return true
end
