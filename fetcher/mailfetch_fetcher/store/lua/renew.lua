#!lua flags=allow-oom
-- Renews a lease; with a third key it is also the write that a durability wait waits for.
-- Whoever takes the lease becomes the owner at once, so only the owner need be looked at: a lease that ran out while
-- nobody took it is taken up again.
-- KEYS 1 state, 2 lease, (3 barrier). ARGV 1 owner, 2 TTL in ms. Answers 1, or 0 if it is no longer ours.
if redis.call('HGET', KEYS[1], 'owner') ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[2])
if KEYS[3] then redis.call('INCR', KEYS[3]) end
return 1
