#!lua flags=allow-oom
-- Takes the lease and becomes the owner. Never makes a state.
-- KEYS 1 state, 2 lease, 3 stats, 4 connections. ARGV 1 owner, 2 pod, 3 expected state id, 4 new tip, 5 TTL in ms,
--      6 connection, 7 groups, 8 epoch of the approval, 9 expected identity, 10 identity from now on.
-- Answers {OK, messages, field, value …} {CHANGED} {HELD, owner, ms}.
local st = redis.call('HMGET', KEYS[1], 'stateId', 'identity', 'gateEpoch', 'phase')
if st[1] ~= ARGV[3] or st[2] ~= ARGV[9] then return {'CHANGED'} end
local lease = redis.call('GET', KEYS[2])
if lease and string.match(lease, '^%S*') ~= ARGV[2] then return {'HELD', lease, redis.call('PTTL', KEYS[2])} end
redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[5])
redis.call('HSET', KEYS[1], 'owner', ARGV[1], 'tip', ARGV[4], 'identity', ARGV[10])
-- In a reset the approval is kept for it: the commit that ends the reset uses it up.
if tonumber(ARGV[8]) > tonumber(st[3]) and not string.match(st[4] or '', '^Reset') then
  redis.call('HSET', KEYS[1], 'gateEpoch', ARGV[8])
end
redis.call('HINCRBY', KEYS[1], 'epoch', 1)
redis.call('HINCRBY', KEYS[1], 'seq', 1)
redis.call('HSET', KEYS[4], ARGV[6], ARGV[7])
return {'OK', redis.call('HGET', KEYS[3], 'messages') or '0', unpack(redis.call('HGETALL', KEYS[1]))}
