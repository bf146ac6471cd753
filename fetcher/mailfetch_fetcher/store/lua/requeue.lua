-- Puts a copy of a mail at the end of the queue, under an id of its own, with a body of its own. What waits in the outbox
-- for the acknowledgement of the old entry waits for the new one from now on. The old entry stays for retention.
--
-- KEYS 1 queue, 2 marks, 3 log, 4 blobs, 5 a key that remembers this request, 6 one that remembers the copy of the entry,
--      7 outbox and 8 state of the mail's connection, then, if the body is a blob, 9 the blob and 10 its copy.
-- ARGV 1 entry, 2 connection, 3 id of the copy, 4 id of the copied blob, 5 time, 6 deliveries beyond which a pending
--      entry is given up for the group, 7 how long request and copy are remembered in ms.
-- Answers {OK, new entry} {DONE, new entry} (it was sent before) {GONE} {CHANGED} {NOBLOB} {FAILED, error}, or
--      {COPIED, its copy}: it was requeued before, the copy is still there, and since then nobody failed with the old one.
local queue, entry = KEYS[1], ARGV[1]
local done = redis.call('GET', KEYS[5])
if done then return {'DONE', done} end
local found = redis.call('XRANGE', queue, entry, entry)[1]
if not found then return {'GONE'} end

local holders = {} -- groups that had it too often
for _, flat in ipairs(redis.call('XINFO', 'GROUPS', queue)) do
  local held = redis.call('XPENDING', queue, flat[2], entry, entry, 1)[1]
  if held and held[4] > tonumber(ARGV[6]) then holders[#holders + 1] = flat[2] end
end
local copied = redis.call('GET', KEYS[6])
if copied and #holders == 0 and redis.call('HEXISTS', KEYS[2], entry) == 0 and redis.call('XRANGE', queue, copied, copied)[1] then
  return {'COPIED', copied}
end

local old, copy = {}, {}
for i = 1, #found[2], 2 do old[found[2][i]] = found[2][i + 1] end
if old.connection ~= ARGV[2] or (old.blob or '') ~= (KEYS[9] or '') then return {'CHANGED'} end
if old.blob and redis.call('STRLEN', KEYS[9]) ~= tonumber(old.size) then return {'NOBLOB'} end
local changed = {id = ARGV[3], committed = ARGV[5], blob = KEYS[10]}
for i = 1, #found[2], 2 do
  copy[i] = found[2][i]
  copy[i + 1] = changed[found[2][i]] or found[2][i + 1]
end

-- XADD is the first write: only the first one is refused when memory is full or the server is read-only.
local new = redis.call('XADD', queue, '*', unpack(copy))
local undo = {{'XDEL', queue, new}}
local function undo_with(...) undo[#undo + 1] = {...} end

-- The members of an outbox stand in the order of their entries. The moved one goes to the end: behind all that the last
-- commit may have put in (4095 mails), and before the next commit's.
local function repoint()
  local cursor = '0'
  repeat
    local reply = redis.call('ZSCAN', KEYS[7], cursor, 'MATCH', '* ' .. entry .. ' *', 'COUNT', 1000)
    cursor = reply[1]
    for i = 1, #reply[2], 2 do
      local member = reply[2][i]
      local before, at, folder = string.match(member, '^(%S+ %S+ %S+ %S+ )(%S+)( .*)$')
      if at == entry then
        local score = redis.call('ZSCORE', KEYS[7], member)
        redis.call('ZREM', KEYS[7], member)
        undo_with('ZADD', KEYS[7], score, member)
        local newest = redis.call('ZRANGE', KEYS[7], -1, -1, 'WITHSCORES')[2]
        local seq = redis.call('HGET', KEYS[8], 'seq')
        local last = math.max(tonumber(newest or 0), tonumber(seq or 0) * 4096 + 4095)
        local step = 2 ^ -16
        while last + step == last do step = step * 2 end
        redis.call('ZADD', KEYS[7], string.format('%.17g', last + step), before .. new .. folder)
        undo_with('ZREM', KEYS[7], before .. new .. folder)
      end
    end
  until cursor == '0'
end

local function give_up() -- whoever had it for too often does not get the old one again
  for _, group in ipairs(holders) do redis.call('XACK', queue, group, entry) end
end

local function write(at, id, detail)
  local line = redis.call('XADD', KEYS[3], '*', 'category', 'Process', 'result', 'Succeeded', 'step', 'requeued',
    'connection', ARGV[2], 'execution', ARGV[3], 'entry', at, 'id', id, 'message_id', old.message_id or '',
    'from', old.from or '', 'subject', old.subject or '', 'detail', detail)
  undo_with('XDEL', KEYS[3], line)
end

local ok, err = pcall(function()
  if old.blob then
    if redis.call('COPY', KEYS[9], KEYS[10]) == 0 then error('the key of the copied body is taken') end
    undo_with('UNLINK', KEYS[10])
    redis.call('HSET', KEYS[4], ARGV[4], new)
    undo_with('HDEL', KEYS[4], ARGV[4])
  end
  for i = 5, 6 do
    local before = redis.call('GET', KEYS[i])
    redis.call('SET', KEYS[i], new, 'PX', ARGV[7])
    if before then undo_with('SET', KEYS[i], before, 'PX', ARGV[7]) else undo_with('DEL', KEYS[i]) end
  end
  write(entry, old.id, 'once more as ' .. ARGV[3])
  write(new, ARGV[3], 'a copy of ' .. old.id)
  repoint()
  redis.call('HDEL', KEYS[2], entry)
  give_up()
end)
if ok then return {'OK', new} end
local text = type(err) == 'table' and err.err or tostring(err)
for i = #undo, 1, -1 do
  local good, problem = pcall(redis.call, unpack(undo[i]))
  if not good then text = text .. '; undoing it failed too: ' .. tostring(type(problem) == 'table' and problem.err or problem) end
end
return {'FAILED', text}
