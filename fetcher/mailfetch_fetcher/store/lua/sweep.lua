#!lua flags=allow-oom
-- Removes blobs whose entry is gone (a consumer deleted it, or a crash came between entry and blob when trimming).
-- KEYS 1 queue, 2 blobs, then blob keys. ARGV for each blob key: id of the blob, id of its entry.
-- Answers how many.
local removed = 0
for i = 3, #KEYS do
  local blob, entry = ARGV[(i - 3) * 2 + 1], ARGV[(i - 3) * 2 + 2]
  if redis.call('HGET', KEYS[2], blob) == entry and #redis.call('XRANGE', KEYS[1], entry, entry) == 0 then
    redis.call('UNLINK', KEYS[i])
    redis.call('HDEL', KEYS[2], blob)
    removed = removed + 1
  end
end
return removed
