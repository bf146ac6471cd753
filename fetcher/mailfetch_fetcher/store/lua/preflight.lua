-- May this user do what the scripts and the few single commands need, and are the keys what they must be?
-- KEYS 1 state, 2 queue, 3 log, 4 outbox, 5 stats, 6 blobs, 7 a ledger bucket, 8 lease, 9 barrier, 10 connections,
--      11 marks, 12 a blob, 13 quarantine, 14 gone, 15 returns, 16 a staged bucket, 17 a key to swap, 18 groups, 19 token.
-- Answers texts: what is wrong.
local wrong = {}
local types = {'hash', 'stream', 'stream', 'zset', 'hash', 'hash', 'set', 'string', 'string', 'hash', 'hash', 'string',
  'hash', 'hash', 'hash', 'set', 'set', 'hash', 'string'}
for i, want in ipairs(types) do
  local is = redis.call('TYPE', KEYS[i]).ok
  if is ~= 'none' and is ~= want then wrong[#wrong + 1] = KEYS[i] .. ' is a ' .. is .. ' and not a ' .. want end
end
local commands = {
  {'HGET', 1, 'f'}, {'HMGET', 1, 'f'}, {'HGETALL', 1}, {'HSET', 1, 'f', 'v'}, {'HINCRBY', 1, 'f', '1'}, {'RENAME', 1, 1},
  {'EXISTS', 2}, {'XLEN', 2}, {'XADD', 2, '*', 'f', 'v'}, {'XDEL', 2, '0-1'}, {'DEL', 2}, {'XRANGE', 2, '-', '+'},
  {'XREVRANGE', 2, '+', '-'}, {'XINFO', 'GROUPS', 2}, {'XINFO', 'CONSUMERS', 2, 'g'}, {'XPENDING', 2, 'g'},
  {'XGROUP', 'CREATE', 2, 'g', '0', 'MKSTREAM'}, {'XGROUP', 'CREATECONSUMER', 2, 'g', 'c'}, {'XACK', 2, 'g', '0-1'},
  {'XADD', 3, '*', 'f', 'v'}, {'XDEL', 3, '0-1'}, {'XTRIM', 3, 'MINID', '0'}, {'DEL', 3}, {'EXISTS', 3},
  {'ZADD', 4, '0', 'm'}, {'ZREM', 4, 'm'}, {'ZRANGE', 4, '0', '0'}, {'ZSCORE', 4, 'm'}, {'ZMSCORE', 4, 'm'}, {'ZCARD', 4},
  {'HGET', 5, 'f'}, {'HMGET', 5, 'f'}, {'HSET', 5, 'f', 'v'}, {'HINCRBY', 5, 'f', '1'}, {'HDEL', 5, 'f'},
  {'HGET', 6, 'f'}, {'HSET', 6, 'f', 'v'}, {'HDEL', 6, 'f'}, {'HSCAN', 6, '0'},
  {'SADD', 7, '1'}, {'SREM', 7, '1'}, {'SISMEMBER', 7, '1'}, {'SMEMBERS', 7}, {'EXISTS', 7}, {'RENAME', 7, 17},
  {'GET', 8}, {'SET', 8, 'v', 'PX', '1'}, {'DEL', 8}, {'PTTL', 8}, {'INCR', 9},
  {'HSET', 10, 'f', 'v'}, {'HGETALL', 10}, {'HKEYS', 10}, {'HDEL', 10, 'f'}, {'HLEN', 10}, {'HEXISTS', 11, 'f'}, {'HDEL', 11, 'f'},
  {'STRLEN', 12}, {'APPEND', 12, 'v'}, {'PEXPIRE', 12, '1'}, {'PERSIST', 12}, {'PTTL', 12}, {'UNLINK', 12},
  {'HGET', 13, 'f'}, {'HGETALL', 13}, {'HSET', 13, 'f', 'v'}, {'HDEL', 13, 'f'},
  {'HGETALL', 14}, {'HLEN', 14}, {'HSET', 14, 'f', 'v'}, {'HDEL', 14, 'f'},
  {'HMGET', 15, 'f'}, {'HLEN', 15}, {'HINCRBY', 15, 'f', '1'},
  {'SADD', 16, '1'}, {'SISMEMBER', 16, '1'}, {'SCARD', 16}, {'EXISTS', 16}, {'RENAME', 16, 7}, {'UNLINK', 16},
  {'RENAME', 17, 7}, {'UNLINK', 17}, {'HGET', 18, 'f'}, {'HSET', 18, 'f', 'v'}, {'GET', 19}, {'SET', 19, 'v'}, {'TIME'},
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
