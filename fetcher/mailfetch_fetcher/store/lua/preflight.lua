-- May this user do what a commit, its undoing and trimming need, and are the keys what they must be?
-- KEYS 1 state, 2 queue, 3 log, 4 outbox, 5 stats, 6 blobs, 7 a ledger bucket, 8 lease, 9 barrier, 10 connections,
--      11 marks, 12 a blob.
-- Answers texts: what is wrong.
local wrong = {}
local types = {'hash', 'stream', 'stream', 'zset', 'hash', 'hash', 'set', 'string', 'string', 'hash', 'hash', 'string'}
for i, want in ipairs(types) do
  local is = redis.call('TYPE', KEYS[i]).ok
  if is ~= 'none' and is ~= want then wrong[#wrong + 1] = KEYS[i] .. ' is a ' .. is .. ' and not a ' .. want end
end
local commands = {
  {'HGET', 1, 'f'}, {'HMGET', 1, 'f'}, {'HGETALL', 1}, {'HSET', 1, 'f', 'v'}, {'HINCRBY', 1, 'f', '1'}, {'RENAME', 1, 1},
  {'EXISTS', 2}, {'XLEN', 2}, {'XADD', 2, '*', 'f', 'v'}, {'XDEL', 2, '0-1'}, {'DEL', 2}, {'XRANGE', 2, '-', '+'},
  {'XINFO', 'GROUPS', 2}, {'XPENDING', 2, 'g'},
  {'XADD', 3, '*', 'f', 'v'}, {'XDEL', 3, '0-1'}, {'XTRIM', 3, 'MINID', '0'}, {'DEL', 3},
  {'ZADD', 4, '0', 'm'}, {'ZREM', 4, 'm'}, {'ZRANGE', 4, '0', '0'}, {'ZSCORE', 4, 'm'}, {'ZCARD', 4},
  {'HMGET', 5, 'f'}, {'HSET', 5, 'f', 'v'}, {'HINCRBY', 5, 'f', '1'}, {'HDEL', 5, 'f'},
  {'HSET', 6, 'f', 'v'}, {'HDEL', 6, 'f'}, {'SADD', 7, '1'}, {'SREM', 7, '1'}, {'SISMEMBER', 7, '1'},
  {'GET', 8}, {'SET', 8, 'v', 'PX', '1'}, {'DEL', 8}, {'PTTL', 8}, {'INCR', 9},
  {'HSET', 10, 'f', 'v'}, {'HGETALL', 10}, {'HKEYS', 10}, {'HEXISTS', 11, 'f'},
  {'STRLEN', 12}, {'APPEND', 12, 'v'}, {'PEXPIRE', 12, '1'}, {'PERSIST', 12}, {'PTTL', 12}, {'UNLINK', 12},
}
for _, command in ipairs(commands) do
  for i, word in ipairs(command) do
    if type(word) == 'number' then command[i] = KEYS[word] end
  end
  if not redis.acl_check_cmd(unpack(command)) then
    wrong[#wrong + 1] = 'the user may not run "' .. table.concat(command, ' ') .. '"'
  end
end
return wrong
