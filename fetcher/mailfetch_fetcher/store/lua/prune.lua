#!lua flags=allow-oom
-- One step of pruning: marks of absence, and numbers that leave the ledger, together with what was still to be done
-- with their mails: it would be done to the next mail of that name.
-- KEYS 1 state, 2 gone, 3 returns, 4 log, 5 outbox, then ledger buckets.
-- ARGV 1 owner, 2 tip as read, 3 new tip, 4 connection, 5 actions to drop, 6 numbers to remove, 7 marks to set, 8 marks
--      to take away; then action, kind, entry; number of the key, member, bucket; member, mark; member.
-- Answers {OK, seq} {DONE, seq} {FENCED} {NOSTATE}.
local st = redis.call('HMGET', KEYS[1], 'owner', 'tip', 'seq')
if not st[2] then return {'NOSTATE'} end
if st[2] == ARGV[3] then return {'DONE', st[3]} end
if st[1] ~= ARGV[1] or st[2] ~= ARGV[2] then return {'FENCED'} end
redis.call('HLEN', KEYS[2]) -- of another type: said before the first write
redis.call('HLEN', KEYS[3])
redis.call('ZCARD', KEYS[5])
local seq = string.format('%.0f', tonumber(st[3]) + 1)
local p, removed = 9, tonumber(ARGV[6])
for _ = 1, tonumber(ARGV[5]) do
  if redis.call('ZREM', KEYS[5], ARGV[p]) == 1 then
    redis.call('XADD', KEYS[4], '*', 'category', 'AfterDownload', 'result', 'Dropped', 'step', ARGV[p + 1],
      'connection', ARGV[4], 'execution', ARGV[3], 'entry', ARGV[p + 2],
      'detail', 'the mail is not in the mailbox any more, and its name was forgotten')
  end
  p = p + 3
end
if removed > 0 then
  redis.call('XADD', KEYS[4], '*', 'category', 'Download', 'result', 'Succeeded', 'step', 'pruned',
    'connection', ARGV[4], 'execution', ARGV[3], 'detail', ARGV[6] .. ' mails that left the mailbox', 'seq', seq)
end
for _ = 1, removed do
  if redis.call('SREM', KEYS[tonumber(ARGV[p])], ARGV[p + 1]) == 1 then
    redis.call('HINCRBY', KEYS[3], ARGV[p + 2], 1) -- whoever comes under this name next gets another id
  end
  redis.call('HDEL', KEYS[2], ARGV[p + 1])
  p = p + 3
end
for _ = 1, tonumber(ARGV[7]) do
  redis.call('HSET', KEYS[2], ARGV[p], ARGV[p + 1])
  p = p + 2
end
for _ = 1, tonumber(ARGV[8]) do
  redis.call('HDEL', KEYS[2], ARGV[p])
  p = p + 1
end
redis.call('HSET', KEYS[1], 'tip', ARGV[3], 'seq', seq)
return {'OK', seq}
