-- A sender that waited for room gave up.
-- KEYS: info

if tonumber(redis.call('HGET', KEYS[1], 'w') or 0) > 0 then
  if redis.call('HINCRBY', KEYS[1], 'w', -1) == 0 then
    redis.call('HDEL', KEYS[1], 'w')
  end
end
return 1
