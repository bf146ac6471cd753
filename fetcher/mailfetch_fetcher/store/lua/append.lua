-- One part of a large body. KEYS 1 blob. ARGV 1 length so far, 2 part, 3 TTL in ms.
-- Answers the new length, or -1 if the blob is not exactly what this writer has written so far.
if redis.call('STRLEN', KEYS[1]) ~= tonumber(ARGV[1]) then return -1 end
local length = redis.call('APPEND', KEYS[1], ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return length
