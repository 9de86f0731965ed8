-- Take entries off the first list that has some. Returns its index from 0, and the entries.
-- KEYS: lists
-- ARGV: how many at most

for index, list in ipairs(KEYS) do
  local entries = redis.call('LPOP', list, ARGV[1])
  if entries and #entries > 0 then
    return {index - 1, entries}
  end
end
return false
