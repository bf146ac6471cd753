-- May this user do what a commit and its undoing need, and are the keys what they must be?
-- KEYS 1 state, 2 queue, 3 log, 4 outbox, 5 stats, 6 blobs, 7 a ledger bucket, 8 lease, 9 barrier, 10 connections, 11 marks, 12 a blob.
-- Answers pairs: what is wrong with a command or key, which one.
local wrong = {}
local function note(what, which)
  wrong[#wrong + 1] = what
  wrong[#wrong + 1] = which
end
local types = {'hash', 'stream', 'stream', 'zset', 'hash', 'hash', 'set', 'string', 'string', 'hash', 'hash', 'string'}
for i, want in ipairs(types) do
  local is = redis.call('TYPE', KEYS[i]).ok
  if is ~= 'none' and is ~= want then note('is a ' .. is .. ' instead of a ' .. want, KEYS[i]) end
end
local commands = {
  {'HSET', KEYS[1], 'f', 'v'}, {'HGET', KEYS[1], 'f'}, {'HMGET', KEYS[1], 'f'}, {'HGETALL', KEYS[1]},
  {'HINCRBY', KEYS[5], 'f', '1'}, {'HDEL', KEYS[6], 'f'}, {'XADD', KEYS[2], '*', 'f', 'v'}, {'XDEL', KEYS[2], '0-1'},
  {'XLEN', KEYS[2]}, {'XRANGE', KEYS[2], '-', '+'}, {'XADD', KEYS[3], '*', 'f', 'v'}, {'XDEL', KEYS[3], '0-1'},
  {'XTRIM', KEYS[3], 'MINID', '0'}, {'EXISTS', KEYS[2]}, {'DEL', KEYS[2]}, {'ZADD', KEYS[4], '0', 'm'},
  {'ZREM', KEYS[4], 'm'}, {'ZRANGE', KEYS[4], '0', '0'}, {'ZSCORE', KEYS[4], 'm'}, {'ZCARD', KEYS[4]},
  {'SADD', KEYS[7], '1'}, {'SREM', KEYS[7], '1'}, {'SISMEMBER', KEYS[7], '1'}, {'SET', KEYS[8], 'v', 'PX', '1'},
  {'GET', KEYS[8]}, {'DEL', KEYS[8]}, {'PTTL', KEYS[8]}, {'INCR', KEYS[9]}, {'STRLEN', KEYS[12]},
  {'APPEND', KEYS[12], 'v'}, {'PEXPIRE', KEYS[12], '1'}, {'PERSIST', KEYS[12]}, {'UNLINK', KEYS[12]},
}
for _, command in ipairs(commands) do
  if not redis.acl_check_cmd(unpack(command)) then note('may not run ' .. command[1] .. ' on', command[2]) end
end
return wrong
