#!lua flags=allow-oom
-- Renews a lease; with a fourth key it is also the write that a durability wait waits for.
-- Whoever takes the lease becomes the owner at once, so only the owner need be looked at: a lease that ran out while
-- nobody took it is taken up again.
-- It keeps the highest time that this server process has told: with `appendfsync everysec` a server whose clock was set
-- back forces nothing to disk until it has caught up.
-- KEYS 1 state, 2 lease, 3 stats, (4 barrier). ARGV 1 owner, 2 TTL in ms, 3 run id of the server.
-- Answers 0 if it is no longer ours; 1; or 2 if the clock is behind.
if redis.call('HGET', KEYS[1], 'owner') ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[2])
if KEYS[4] then redis.call('INCR', KEYS[4]) end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local process, seen = string.match(redis.call('HGET', KEYS[3], 'clock') or '', '^(%S*) (%d+)$')
if process == ARGV[3] and now < tonumber(seen) then return 2 end
redis.call('HSET', KEYS[3], 'clock', string.format('%s %.0f', ARGV[3], now))
return 1
