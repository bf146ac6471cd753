#!lua flags=allow-oom
-- Replaces outbox members by the same actions in their next phase, all or none; doing it twice changes nothing.
-- KEYS 1 state, 2 outbox. ARGV 1 owner, then for each: old member, new member.
-- Answers OK, FENCED, or the old member that is not there.
if redis.call('HGET', KEYS[1], 'owner') ~= ARGV[1] then return 'FENCED' end
local scores = {}
for p = 2, #ARGV, 2 do
  scores[p] = redis.call('ZSCORE', KEYS[2], ARGV[p])
  if not scores[p] and not redis.call('ZSCORE', KEYS[2], ARGV[p + 1]) then return ARGV[p] end
end
for p = 2, #ARGV, 2 do
  if scores[p] and ARGV[p] ~= ARGV[p + 1] then
    redis.call('ZADD', KEYS[2], scores[p], ARGV[p + 1])
    redis.call('ZREM', KEYS[2], ARGV[p])
  end
end
return 'OK'
