#!lua flags=allow-oom
-- Ends the delivery of a mail to a consumer group: acknowledgement, mark and log lines at one moment.
--
-- KEYS 1 mail:{<namespace>/<stream>}:queue, 2 …:marks, 3 …:log.
-- ARGV 1 group, 2 consumer, 3 id of the stream entry, 4 verdict, 5 detail (why), then pairs of step and detail: what was
--      done until now, a line each.
-- Verdicts: Processed: it is done. Filtered: you do not want it. Failed: you cannot handle it, people must look.
--           Step: it goes on; only the lines are written.
-- Answers Ended or Written; or, and then nothing was written:
--   NotPending  the group has not got it, or its delivery has been ended: by you if you send this again
--   Taken       another consumer has taken it over (XAUTOCLAIM): leave it to that one
--   Gone        people removed the mail from the queue; it is acknowledged
--   Repeated    this step was written just now: you send it again
for i = 5, #ARGV do ARGV[i] = string.sub(ARGV[i], 1, 4000) end -- texts are for people
local group, consumer, entry, verdict, detail = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local endings = {
  Processed = {'Process', 'Succeeded', 'processed'},
  Filtered = {'Filter', 'Skipped', 'filtered'},
  Failed = {'Process', 'Error', 'failed'},
}
local ending = endings[verdict]
if not ending and verdict ~= 'Step' then return redis.error_reply('ERR verdict must be Processed, Filtered, Failed or Step') end
if #ARGV % 2 == 0 or (not ending and #ARGV < 7) then return redis.error_reply('ERR a step needs a name and a detail') end

local pending = redis.call('XPENDING', KEYS[1], group, entry, entry, 1)[1]
if not pending then return 'NotPending' end
if pending[2] ~= consumer then return 'Taken' end
local found = redis.call('XRANGE', KEYS[1], entry, entry)[1]
if not found then
  redis.call('XACK', KEYS[1], group, entry) -- nobody can ever handle it
  return 'Gone'
end
local mail = {}
for i = 1, #found[2], 2 do mail[found[2][i]] = found[2][i + 1] end

-- One delivery attempt: the count grows each time the entry is handed out.
local execution = group .. '/' .. entry .. '/' .. string.format('%.0f', pending[4])

if not ending then -- a step that is sent again, because its reply was lost, is among the newest lines
  for _, line in ipairs(redis.call('XREVRANGE', KEYS[3], '+', '-', 'COUNT', 50)) do
    local old = {}
    for i = 1, #line[2], 2 do old[line[2][i]] = line[2][i + 1] end
    if old.execution == execution and old.step == ARGV[#ARGV - 1] and old.detail == ARGV[#ARGV] then return 'Repeated' end
  end
end

local function write(category, result, step, text)
  return redis.call('XADD', KEYS[3], '*', 'category', category, 'result', result, 'step', step,
    'connection', mail.connection or '', 'execution', execution, 'consumer', consumer, 'entry', entry,
    'id', mail.id or '', 'message_id', mail.message_id or '', 'from', mail.from or '', 'subject', mail.subject or '',
    'detail', text)
end
for i = 6, #ARGV, 2 do write('Process', 'Succeeded', ARGV[i], ARGV[i + 1]) end
if not ending then return 'Written' end
local line = write(ending[1], ending[2], ending[3], detail)

-- The mark comes before the acknowledgement: a marked mail stays in the queue and in the mailbox until people decide.
-- Each group has its own part of the mark, and the mail is marked until the last part has gone.
local _, mark = pcall(cjson.decode, redis.call('HGET', KEYS[2], entry) or '{}')
if type(mark) ~= 'table' then mark = {} end -- nobody can read it
if verdict ~= 'Processed' then
  local at = tonumber(string.match(line, '^%d+')) -- milliseconds since 1970
  mark[group] = {state = verdict, why = detail, at = at}
  redis.call('HSET', KEYS[2], entry, cjson.encode(mark))
elseif mark[group] then
  mark[group] = nil
  if next(mark) then
    redis.call('HSET', KEYS[2], entry, cjson.encode(mark))
  else
    redis.call('HDEL', KEYS[2], entry)
  end
end
redis.call('XACK', KEYS[1], group, entry)
return 'Ended'
