#!lua flags=allow-oom
-- A connection leaves its stream; with the last one the stream goes.
-- KEYS 1 connections, then the keys of the stream. ARGV 1 connection. Answers how many connections are left.
redis.call('HDEL', KEYS[1], ARGV[1])
local left = redis.call('HLEN', KEYS[1])
if left == 0 then
  for i = 2, #KEYS do redis.call('UNLINK', KEYS[i]) end
end
return left
