-- The epoch, which is made where it is missing, the time, and the evictions of some queues.
-- KEYS: epoch, then an info for each queue
-- ARGV: the value of a new epoch

local epoch = redis.call('GET', KEYS[1])
if not epoch then
  epoch = ARGV[1]
  redis.call('SET', KEYS[1], epoch)
end
local found = {epoch, number(clock())}
for i = 2, #KEYS do
  found[i + 1] = redis.call('HGET', KEYS[i], 'e') or ''
end
return found
