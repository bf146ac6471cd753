#!lua flags=allow-oom
-- Removes entries of a stream with all that hangs on them. They are acknowledged too: what is pending for ever in a
-- group would hold the entries of other connections.
-- KEYS 1 stream, 2 marks, 3 blobs, then blob keys. ARGV 1 number of blobs, their ids, then ids of entries.
-- Answers how many entries went.
local blobs = tonumber(ARGV[1])
local removed = 0
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
local groups = redis.call('XINFO', 'GROUPS', KEYS[1])
for i = 2 + blobs, #ARGV do
  for _, flat in ipairs(groups) do redis.call('XACK', KEYS[1], flat[2], ARGV[i]) end
  removed = removed + redis.call('XDEL', KEYS[1], ARGV[i])
  redis.call('HDEL', KEYS[2], ARGV[i])
end
for i = 1, blobs do
  redis.call('UNLINK', KEYS[3 + i])
  redis.call('HDEL', KEYS[3], ARGV[1 + i])
end
return removed
