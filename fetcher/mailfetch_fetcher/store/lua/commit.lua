-- One commit: mails, ledger, outbox, log, counters and cursor enter together, or nothing does.
-- Sending it again changes nothing: the second time `tip` is already the new one.
--
-- KEYS 1 state, 2 queue, 3 log, 4 outbox, 5 stats, 6 blobs, then the ledger buckets and blobs that mails refer to.
-- ARGV 1 owner, 2 tip as read, 3 new tip, 4 cursor, 5 anchor ('' = as it is), 6 most entries of the queue,
--      7 time, 8 connection, 9 number of mails, 10 their bytes, 11 number of log lines;
--      then 18 values a mail (see commit.py), then the log lines: count of values, values.
-- Answers {OK, seq} {DONE, seq} {FENCED} {NOSTATE} {TAKEN, mail…} {NOBLOB, mail, length} {FULL, length} {FAILED, error}.

local st = redis.call('HMGET', KEYS[1], 'owner', 'tip', 'seq')
if not st[2] then return {'NOSTATE'} end
if st[2] == ARGV[3] then return {'DONE', st[3]} end
if st[1] ~= ARGV[1] or st[2] ~= ARGV[2] then return {'FENCED'} end

local HEAD, WIDTH = 11, 18
local mails, lines = tonumber(ARGV[9]), tonumber(ARGV[11])
local seq = string.format('%.0f', tonumber(st[3]) + 1)

-- Everything that may say no comes before the first write.
local before = redis.call('XLEN', KEYS[2])
if mails > 0 and before + mails > tonumber(ARGV[6]) then return {'FULL', before} end
local taken = {'TAKEN'}
for i = 1, mails do
  local p = HEAD + (i - 1) * WIDTH
  local blob = tonumber(ARGV[p + 14])
  if blob > 0 then
    local length = redis.call('STRLEN', KEYS[blob])
    if length ~= tonumber(ARGV[p + 10]) then return {'NOBLOB', i, length} end
  end
  if redis.call('SISMEMBER', KEYS[tonumber(ARGV[p + 15])], ARGV[p + 16]) == 1 then taken[#taken + 1] = i end
end
if #taken > 1 then return taken end

local log_before = redis.call('EXISTS', KEYS[3])
local queue_before = redis.call('EXISTS', KEYS[2])
local stats_before = redis.call('HMGET', KEYS[5], 'messages', 'bytes', 'last_message')
local undo = {}
local function undo_with(...) undo[#undo + 1] = {...} end

local function store(i)
  local p = HEAD + (i - 1) * WIDTH
  local function v(n) return ARGV[p + n] end
  local blob = tonumber(v(14))
  -- XADD is the first write: only the first write of a script is refused when memory is full or the server is
  -- read-only, and PERSIST would not be.
  local entry = redis.call('XADD', KEYS[2], '*', 'id', v(1), 'connection', ARGV[8], 'folder', v(2), 'uid', v(3),
    'message_id', v(4), 'from', v(5), 'to', v(6), 'subject', v(7), 'date', v(8), 'received', v(9),
    'committed', ARGV[7], 'size', v(10), 'sha256', v(11), 'flags', v(12),
    blob > 0 and 'blob' or 'raw', blob > 0 and KEYS[blob] or v(13))
  undo_with('XDEL', KEYS[2], entry)
  if blob > 0 then
    local left = redis.call('PTTL', KEYS[blob])
    redis.call('PERSIST', KEYS[blob])
    if left > 0 then undo_with('PEXPIRE', KEYS[blob], left) end
    redis.call('HSET', KEYS[6], v(13), entry)
    undo_with('HDEL', KEYS[6], v(13))
  end
  local bucket = KEYS[tonumber(v(15))]
  redis.call('SADD', bucket, v(16))
  undo_with('SREM', bucket, v(16))
  if v(17) ~= '' then
    local member = v(17) .. entry .. v(18)
    redis.call('ZADD', KEYS[4], seq * 4096 + i, member)
    undo_with('ZREM', KEYS[4], member)
  end
  return {'category', 'Download', 'result', 'Succeeded', 'step', 'stored', 'connection', ARGV[8], 'execution', ARGV[3],
    'entry', entry, 'id', v(1), 'message_id', v(4), 'from', v(5), 'subject', v(7)}
end

local function write_log(line, last)
  if last then
    line[#line + 1] = 'cursor'
    line[#line + 1] = ARGV[4]
    line[#line + 1] = 'seq'
    line[#line + 1] = seq
  end
  undo_with('XDEL', KEYS[3], redis.call('XADD', KEYS[3], '*', unpack(line)))
end

local ok, err = pcall(function()
  local count = mails + lines
  for i = 1, mails do write_log(store(i), i == count) end
  local p = HEAD + mails * WIDTH + 1
  for i = 1, lines do
    local n = tonumber(ARGV[p])
    write_log({'connection', ARGV[8], 'execution', ARGV[3], unpack(ARGV, p + 1, p + n)}, mails + i == count)
    p = p + n + 1
  end
  if count == 0 then
    write_log({'category', 'Download', 'result', 'Succeeded', 'step', 'checkpoint', 'connection', ARGV[8],
      'execution', ARGV[3]}, true)
  end
  if mails > 0 then
    undo_with('stats')
    redis.call('HINCRBY', KEYS[5], 'messages', mails)
    redis.call('HINCRBY', KEYS[5], 'bytes', ARGV[10])
    redis.call('HSET', KEYS[5], 'last_message', ARGV[7])
  end
  -- The state last, in one command: up to here nothing counts.
  local state = {'cursor', ARGV[4], 'tip', ARGV[3], 'seq', seq}
  if ARGV[5] ~= '' then
    state[7] = 'anchor'
    state[8] = ARGV[5]
  end
  redis.call('HSET', KEYS[1], unpack(state))
end)
if ok then return {'OK', seq} end

local function text(e)
  if type(e) == 'table' then return e.err or 'unknown error' end
  return tostring(e)
end

local function restore_stats()
  for i, name in ipairs({'messages', 'bytes', 'last_message'}) do
    if stats_before[i] then
      redis.call('HSET', KEYS[5], name, stats_before[i])
    else
      redis.call('HDEL', KEYS[5], name)
    end
  end
end

local failed = ''
for i = #undo, 1, -1 do
  local step = undo[i]
  local good, problem
  if step[1] == 'stats' then
    good, problem = pcall(restore_stats)
  else
    good, problem = pcall(redis.call, unpack(step))
  end
  if not good then failed = '; undoing it failed too: ' .. text(problem) end
end
if queue_before == 0 and #undo > 0 then pcall(redis.call, 'DEL', KEYS[2]) end
if log_before == 0 and #undo > 0 then pcall(redis.call, 'DEL', KEYS[3]) end
return {'FAILED', text(err) .. failed}
