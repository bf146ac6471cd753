#!lua flags=allow-oom
-- Takes the lease and becomes the owner. Never makes a state.
-- KEYS 1 state, 2 lease, 3 stats, 4 connections. ARGV 1 owner, 2 pod, 3 expected state id, 4 new tip, 5 TTL in ms, 6 connection, 7 groups.
-- Answers {OK, messages, field, value …} {CHANGED} {HELD, owner, ms}.
if redis.call('HGET', KEYS[1], 'stateId') ~= ARGV[3] then return {'CHANGED'} end
local lease = redis.call('GET', KEYS[2])
if lease and string.match(lease, '^%S*') ~= ARGV[2] then return {'HELD', lease, redis.call('PTTL', KEYS[2])} end
redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[5])
redis.call('HSET', KEYS[1], 'owner', ARGV[1], 'tip', ARGV[4])
redis.call('HINCRBY', KEYS[1], 'epoch', 1)
redis.call('HINCRBY', KEYS[1], 'seq', 1)
redis.call('HSET', KEYS[4], ARGV[6], ARGV[7])
return {'OK', redis.call('HGET', KEYS[3], 'messages') or '0', unpack(redis.call('HGETALL', KEYS[1]))}
