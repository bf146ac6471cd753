#!lua flags=allow-oom
-- Takes and keeps a mailbox whose keys are being removed: its state says so, and nobody goes on from it.
-- KEYS 1 state, 2 lease. ARGV 1 owner, 2 pod, 3 TTL in ms, 4 cluster, 5 new tip.
-- Answers {OK} {CLUSTER, id} {HELD, owner, ms}.
local st = redis.call('HMGET', KEYS[1], 'stateId', 'clusterId', 'owner')
if st[1] and st[2] ~= ARGV[4] then return {'CLUSTER', st[2] or ''} end
local lease = redis.call('GET', KEYS[2])
if lease and string.match(lease, '^%S*') ~= ARGV[2] then return {'HELD', lease, redis.call('PTTL', KEYS[2])} end
redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[3])
if st[1] and st[3] ~= ARGV[1] then
  redis.call('HSET', KEYS[1], 'owner', ARGV[1], 'tip', ARGV[5], 'phase', 'Purge')
  redis.call('HINCRBY', KEYS[1], 'epoch', 1)
  redis.call('HINCRBY', KEYS[1], 'seq', 1)
end
return {'OK'}
