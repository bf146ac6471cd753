#!lua flags=allow-oom
-- Replaces an outbox member by the same action in its next phase; doing it twice changes nothing.
-- KEYS 1 state, 2 outbox. ARGV 1 owner, 2 old member, 3 new member. Answers OK, FENCED or GONE.
if redis.call('HGET', KEYS[1], 'owner') ~= ARGV[1] then return 'FENCED' end
local score = redis.call('ZSCORE', KEYS[2], ARGV[2])
if not score then
  if redis.call('ZSCORE', KEYS[2], ARGV[3]) then return 'OK' end
  return 'GONE'
end
redis.call('ZADD', KEYS[2], score, ARGV[3])
if ARGV[2] ~= ARGV[3] then redis.call('ZREM', KEYS[2], ARGV[2]) end
return 'OK'
