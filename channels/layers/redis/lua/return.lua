-- Put entries back to the front of the list that they were taken from, their deadlines unchanged.
-- KEYS: list, info
-- ARGV: 1 for a process channel, expiry, group expiry, the entries, the last one first

for i = 4, #ARGV do
  redis.call('LPUSH', KEYS[1], ARGV[i])
end
if redis.call('HGET', KEYS[2], 'w') then
  flag(KEYS[1])
end
if ARGV[1] == '1' or redis.call('HEXISTS', KEYS[2], 'g') == 1 then
  redis.call('PEXPIRE', KEYS[1], ARGV[3])
else
  keep(KEYS[1], ARGV[2])
end
return 1
