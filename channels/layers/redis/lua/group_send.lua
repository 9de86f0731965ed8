-- Append a message to the queues of some of a group's members, one entry for 2,000 targets at most.
-- Returns what was dropped, as the number of the part, from 0, and how many targets; how many parts
-- were served, since a call ends early where much has to be packed; and the directory if it is not of
-- the version that the sender knows.
-- KEYS: directory, counts of all, then for each part: list, info, tokens, members, packs, counts
-- ARGV: version ('-': not to be compared), body, expiry, group expiry, lifetimes of both counts,
--       then for each part: queue, 1 for a process channel, capacity, first bucket, last bucket

-- What one call does, for others wait meanwhile: members whose packing takes a millisecond or two;
-- copying packed ones into an entry takes a quarter of it, and a part some of its own.
local ENOUGH, COPYING, PART = 2000, 0.25, 50

local now = clock()
local directory, body = KEYS[1], ARGV[2]
local head = '\1' .. struct.pack('>I8', now + ARGV[3])
local dropped = {}
local work = 0

local function send(part, keys, process, capacity, number_of_targets, targets)
  local entry = head .. struct.pack('>I2', process and number_of_targets or 0) .. targets .. body
  local kind = 'm'
  local length = redis.call('RPUSH', KEYS[keys], entry)
  if not admit(KEYS[keys], KEYS[keys + 1], KEYS[keys + 2], entry, length, now, process, ARGV[3],
               ARGV[4], capacity) then
    kind = 'f'
    dropped[#dropped + 1] = part
    dropped[#dropped + 1] = number_of_targets
  end
  count(KEYS[keys + 5], kind, 1, now, ARGV[5])
  count(KEYS[2], kind, 1, now, ARGV[6])
end

local function serve(part, keys, args)
  local process, capacity = ARGV[args + 1] == '1', tonumber(ARGV[args + 2])
  local members, packs = KEYS[keys + 3], KEYS[keys + 4]
  purge(KEYS[keys], KEYS[keys + 1], KEYS[keys + 2], now, process, ARGV[4], capacity)
  if not holds(directory, ARGV[args], KEYS[keys + 1], members, packs, now) then
    return
  end
  local gathered, total = {}, 0
  for bucket = tonumber(ARGV[args + 3]), tonumber(ARGV[args + 4]) do
    local targets, size, anew = packed(members, packs, bucket, now, process)
    work = work + size * (anew and 1 or COPYING)
    if total + size > MAX_TARGETS then
      send(part, keys, process, capacity, total, table.concat(gathered))
      gathered, total = {}, 0
    end
    if size > 0 then
      gathered[#gathered + 1] = targets
      total = total + size
    end
  end
  if total > 0 then
    send(part, keys, process, capacity, total, table.concat(gathered))
  elseif redis.call('ZCARD', members) == 0 then
    forget(directory, ARGV[args], members, packs, now)
  end
end

if #KEYS > 2 then
  needs_memory(KEYS[6])
end
local parts, served = (#KEYS - 2) / 6, 0
while served < parts and work < ENOUGH do
  work = work + PART
  serve(served, 3 + served * 6, 7 + served * 5)
  served = served + 1
end
if ARGV[1] ~= '-' and ARGV[1] ~= (redis.call('HGET', directory, '') or '') then
  return {dropped, served, redis.call('HGETALL', directory)}
end
return {dropped, served}
