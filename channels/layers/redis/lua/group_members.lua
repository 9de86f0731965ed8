-- The members of a group behind some queues, and the directory if the reader asks for it.
-- KEYS: directory, then for each part: list, info, tokens, members, packs
-- ARGV: 1 if the directory is wanted, group expiry, then for each part: queue, 1 for a process
--       channel, capacity, first bucket, last bucket

local now = clock()
local found = {}
for part = 0, (#KEYS - 1) / 5 - 1 do
  local keys, args = 2 + part * 5, 3 + part * 5
  local members, packs = KEYS[keys + 3], KEYS[keys + 4]
  local process = ARGV[args + 1] == '1'
  local locals = {}
  purge(KEYS[keys], KEYS[keys + 1], KEYS[keys + 2], now, process, ARGV[2],
        tonumber(ARGV[args + 2]))
  if holds(KEYS[1], ARGV[args], KEYS[keys + 1], members, packs, now) then
    for bucket = tonumber(ARGV[args + 3]), tonumber(ARGV[args + 4]) do
      for _, member in ipairs(in_bucket(members, bucket, now)) do
        locals[#locals + 1] = member
      end
    end
    if redis.call('ZCARD', members) == 0 then
      forget(KEYS[1], ARGV[args], members, packs, now)
    end
  end
  found[part + 1] = locals
end
return {found, ARGV[1] == '1' and redis.call('HGETALL', KEYS[1]) or {}}
