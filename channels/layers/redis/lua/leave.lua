-- A sender that waited for room gave up. Each sender that waits is counted, or has a token; where
-- this one had, the room that the token stands for is another's.
-- KEYS: list, info, tokens
-- ARGV: capacity

if not redis.call('LPOP', KEYS[3]) then
  if tonumber(redis.call('HGET', KEYS[2], 'w') or 0) > 0 then
    redis.call('HINCRBY', KEYS[2], 'w', -1)
  end
end
wake(KEYS[1], KEYS[2], KEYS[3], tonumber(ARGV[1]))
return 1
