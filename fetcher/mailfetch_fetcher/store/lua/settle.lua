#!lua flags=allow-oom
-- Removes actions that are done or dropped, with a log line for each that was still there.
-- KEYS 1 state, 2 outbox, 3 log, 4 gone. ARGV 1 owner, 2 connection, 3 execution, then for each: member, result, step,
-- entry, detail, number in the ledger if the mail was deleted or moved at the server and has a name ('' = no).
-- Answers OK or FENCED.
if redis.call('HGET', KEYS[1], 'owner') ~= ARGV[1] then return 'FENCED' end
for p = 4, #ARGV, 6 do
  if redis.call('ZREM', KEYS[2], ARGV[p]) == 1 then
    if ARGV[p + 5] ~= '' then redis.call('HSET', KEYS[4], ARGV[p + 5], 'd') end
    redis.call('XADD', KEYS[3], '*', 'category', 'AfterDownload', 'result', ARGV[p + 1], 'step', ARGV[p + 2],
      'connection', ARGV[2], 'execution', ARGV[3], 'entry', ARGV[p + 3], 'detail', ARGV[p + 4])
  end
end
return 'OK'
