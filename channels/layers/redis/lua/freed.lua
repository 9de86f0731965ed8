-- An entry was taken that bore the mark of waiting senders: wake them.
-- KEYS: list, info, tokens
-- ARGV: capacity

wake(KEYS[1], KEYS[2], KEYS[3], tonumber(ARGV[1]))
return 1
