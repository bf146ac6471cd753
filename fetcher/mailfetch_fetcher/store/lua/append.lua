-- One part of a large body; never without a time to live. KEYS 1 blob. ARGV 1 part, 2 TTL in ms.
-- Answers the new length: the writer knows what it must be.
local length = redis.call('APPEND', KEYS[1], ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return length
