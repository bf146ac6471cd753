-- One commit: mails, ledger, outbox, quarantine, log, counters and state enter together, or nothing does.
-- Sending it again changes nothing: the second time `tip` is already the new one.
--
-- KEYS 1 state, 2 queue, 3 log, 4 outbox, 5 stats, 6 blobs, 7 quarantine, then the ledger buckets and blobs that are
--      spoken of by their number; with a staged ledger the last ones are: its buckets, the ledger's, and as many keys
--      where the ledger's stand while they are exchanged.
-- ARGV 1 owner, 2 tip as read, 3 new tip, 4 most entries of the queue, 5 time, 6 connection, 7 bytes of the mails,
--      8 1 = no log line is needed, 9 members that the staged ledger must have, 10 its buckets (0: it is left alone),
--      then how many there are: 11 values of state fields, 12 mails, 13 quarantine records, 14 released, 15 outbox
--      members, 16 log lines; then all of them: field, value … of the state; 19 values a mail (see commit.py); ref,
--      record, ledger bucket (0: none), member of a quarantine record; ref of a released one; old member, new one ('' =
--      dropped), kind, entry; count of values, values of a log line.
-- Answers {OK, seq} {DONE, seq} {FENCED} {NOSTATE} {TAKEN, mail…} {KNOWN, mail} {NOBLOB, mail, length} {FULL, length}
--         {NOSTAGE, members} {FAILED, error}.

local st = redis.call('HMGET', KEYS[1], 'owner', 'tip', 'seq', 'cursor')
if not st[2] then return {'NOSTATE'} end
if st[2] == ARGV[3] then return {'DONE', st[3]} end
if st[1] ~= ARGV[1] or st[2] ~= ARGV[2] then return {'FENCED'} end

local HEAD, WIDTH = 16, 19
local buckets, values, mails = tonumber(ARGV[10]), tonumber(ARGV[11]), tonumber(ARGV[12])
local records, released, moves, lines = tonumber(ARGV[13]), tonumber(ARGV[14]), tonumber(ARGV[15]), tonumber(ARGV[16])
local MAILS = HEAD + values
local RECORDS = MAILS + mails * WIDTH
local RELEASED = RECORDS + records * 4
local MOVES = RELEASED + released
local LINES = MOVES + moves * 4
local STAGE = #KEYS - 3 * buckets
local seq = string.format('%.0f', tonumber(st[3]) + 1)

-- Everything that may say no comes before the first write.
local before = redis.call('XLEN', KEYS[2])
if mails > 0 and before + mails > tonumber(ARGV[4]) then return {'FULL', before} end
local taken = {'TAKEN'}
for i = 1, mails do
  local p = MAILS + (i - 1) * WIDTH
  local blob, bucket = tonumber(ARGV[p + 14]), tonumber(ARGV[p + 15])
  if blob > 0 then
    local length = redis.call('STRLEN', KEYS[blob])
    if length ~= tonumber(ARGV[p + 10]) then return {'NOBLOB', i, length} end
  end
  if bucket > 0 and redis.call('SISMEMBER', KEYS[bucket], ARGV[p + 16]) == 1 then
    if ARGV[p + 19] == 'new' then return {'KNOWN', i} end
    if ARGV[p + 19] == 'counted' then taken[#taken + 1] = i end
  end
end
if #taken > 1 then return taken end
if buckets > 0 then
  local members = 0
  for i = 1, buckets do members = members + redis.call('SCARD', KEYS[STAGE + i]) end
  if members ~= tonumber(ARGV[9]) then return {'NOSTAGE', members} end
end
local scores = {}
for i = 1, moves do scores[i] = redis.call('ZSCORE', KEYS[4], ARGV[MOVES + i * 4 - 3]) end

local log_before = redis.call('EXISTS', KEYS[3])
local queue_before = redis.call('EXISTS', KEYS[2])
local stats_before = redis.call('HMGET', KEYS[5], 'messages', 'bytes', 'last_message')
local undo = {}
local function undo_with(...) undo[#undo + 1] = {...} end

local function remember(bucket, member)
  if redis.call('SADD', bucket, member) == 1 then undo_with('SREM', bucket, member) end
end

local function set_record(ref, record)
  local old = redis.call('HGET', KEYS[7], ref)
  if record then redis.call('HSET', KEYS[7], ref, record) else redis.call('HDEL', KEYS[7], ref) end
  if old then undo_with('HSET', KEYS[7], ref, old) else undo_with('HDEL', KEYS[7], ref) end
end

local function store(i)
  local p = MAILS + (i - 1) * WIDTH
  local function v(n) return ARGV[p + n] end
  local blob, bucket = tonumber(v(14)), tonumber(v(15))
  -- XADD is the first write: only the first write of a script is refused when memory is full or the server is
  -- read-only, and PERSIST would not be.
  local entry = redis.call('XADD', KEYS[2], '*', 'id', v(1), 'connection', ARGV[6], 'folder', v(2), 'uid', v(3),
    'message_id', v(4), 'from', v(5), 'to', v(6), 'subject', v(7), 'date', v(8), 'received', v(9),
    'committed', ARGV[5], 'size', v(10), 'sha256', v(11), 'flags', v(12),
    blob > 0 and 'blob' or 'raw', blob > 0 and KEYS[blob] or v(13))
  undo_with('XDEL', KEYS[2], entry)
  if blob > 0 then
    local left = redis.call('PTTL', KEYS[blob])
    redis.call('PERSIST', KEYS[blob])
    if left > 0 then undo_with('PEXPIRE', KEYS[blob], left) end
    redis.call('HSET', KEYS[6], v(13), entry)
    undo_with('HDEL', KEYS[6], v(13))
  end
  if bucket > 0 then remember(KEYS[bucket], v(16)) end
  if v(17) ~= '' then
    local member = v(17) .. entry .. v(18)
    redis.call('ZADD', KEYS[4], seq * 4096 + i, member)
    undo_with('ZREM', KEYS[4], member)
  end
  return {'category', 'Download', 'result', 'Succeeded', 'step', 'stored', 'connection', ARGV[6], 'execution', ARGV[3],
    'entry', entry, 'id', v(1), 'message_id', v(4), 'from', v(5), 'subject', v(7)}
end

-- The state's fields; the last log line says where the commit ended.
local state = {'tip', ARGV[3], 'seq', seq}
local ending = {'cursor', st[4] or '', 'seq', seq}
for p = HEAD + 1, MAILS, 2 do
  state[#state + 1] = ARGV[p]
  state[#state + 1] = ARGV[p + 1]
  if ARGV[p] == 'cursor' then ending[2] = ARGV[p + 1] end
  if ARGV[p] == 'phase' then
    ending[5] = 'phase'
    ending[6] = ARGV[p + 1]
  end
end

local function write_log(line, last)
  for i = 1, last and #ending or 0 do line[#line + 1] = ending[i] end
  undo_with('XDEL', KEYS[3], redis.call('XADD', KEYS[3], '*', unpack(line)))
end

local function write_lines()
  local dropped = {}
  for i = 1, moves do
    if scores[i] and ARGV[MOVES + i * 4 - 2] == '' then dropped[#dropped + 1] = MOVES + i * 4 - 4 end
  end
  local count, written = mails + lines + #dropped, 0
  local function write(line)
    written = written + 1
    write_log(line, written == count)
  end
  for i = 1, mails do write(store(i)) end
  local p = LINES + 1
  for _ = 1, lines do
    local n = tonumber(ARGV[p])
    write({'connection', ARGV[6], 'execution', ARGV[3], unpack(ARGV, p + 1, p + n)})
    p = p + n + 1
  end
  for _, m in ipairs(dropped) do
    write({'category', 'AfterDownload', 'result', 'Dropped', 'step', ARGV[m + 3], 'connection', ARGV[6],
      'execution', ARGV[3], 'entry', ARGV[m + 4], 'detail', 'the mail is no longer in the mailbox'})
  end
  if count == 0 and ARGV[8] ~= '1' then
    write_log({'category', 'Download', 'result', 'Succeeded', 'step', 'checkpoint', 'connection', ARGV[6],
      'execution', ARGV[3]}, true)
  end
end

local function exchange_ledger()
  for i = 1, buckets do
    local stage, known, swap = KEYS[STAGE + i], KEYS[STAGE + buckets + i], KEYS[STAGE + 2 * buckets + i]
    if redis.call('EXISTS', known) == 1 then
      redis.call('RENAME', known, swap)
      undo_with('RENAME', swap, known)
    end
    if redis.call('EXISTS', stage) == 1 then
      redis.call('RENAME', stage, known)
      undo_with('RENAME', known, stage)
    end
  end
end

local ok, err = pcall(function()
  write_lines()
  for i = 1, records do
    local p = RECORDS + (i - 1) * 4
    set_record(ARGV[p + 1], ARGV[p + 2])
    if ARGV[p + 3] ~= '0' then remember(KEYS[tonumber(ARGV[p + 3])], ARGV[p + 4]) end
  end
  for i = 1, released do set_record(ARGV[RELEASED + i], nil) end
  for i = 1, moves do
    local old, new = ARGV[MOVES + i * 4 - 3], ARGV[MOVES + i * 4 - 2]
    if scores[i] and new ~= old then
      redis.call('ZREM', KEYS[4], old)
      undo_with('ZADD', KEYS[4], scores[i], old)
      if new ~= '' and redis.call('ZADD', KEYS[4], scores[i], new) == 1 then undo_with('ZREM', KEYS[4], new) end
    end
  end
  if mails > 0 then
    undo_with('stats')
    redis.call('HINCRBY', KEYS[5], 'messages', mails)
    redis.call('HINCRBY', KEYS[5], 'bytes', ARGV[7])
    redis.call('HSET', KEYS[5], 'last_message', ARGV[5])
  end
  exchange_ledger()
  -- The state last, in one command: up to here nothing counts.
  redis.call('HSET', KEYS[1], unpack(state))
end)
if ok then
  for i = #KEYS - buckets + 1, #KEYS do pcall(redis.call, 'UNLINK', KEYS[i]) end
  return {'OK', seq}
end

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
