-- Whether a channel is in use: as the member of a group, or since a message waits for it.
-- KEYS: list, info
-- ARGV: 1 for a process channel, its local part behind the byte of its length

if ARGV[1] == '0' then
  return (redis.call('EXISTS', KEYS[1]) == 1 or redis.call('HEXISTS', KEYS[2], 'g') == 1) and 1 or 0
end
for _, entry in ipairs(redis.call('LRANGE', KEYS[1], 0, -1)) do
  if string.find(entry, ARGV[2], 12, true) then
    return 1
  end
end
return 0
