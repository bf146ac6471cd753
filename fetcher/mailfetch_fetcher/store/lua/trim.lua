#!lua flags=allow-oom
-- Removes entries that every named group acknowledged, oldest first; without a named group nothing is removed.
-- KEYS 1 state, 2 queue, 3 log, 4 connections, 5 marks, then the outbox of each connection of the stream.
-- ARGV 1 owner, 2 and 3 entries of this time or before are old (in ms, and as `committed` has it: ids stay ahead for long
--      after a clock that jumped), 4 the same for log lines in ms, 5 most log lines, 6 entries to remove whatever their age,
--      7 start of the look (an id, or '(' and the last one seen), 8 entries to look at,
--      then the name of each connection, in the order of KEYS.
-- Answers {FENCED} {CHANGED} {NOGROUP} {MISSING, group} or {OK, next start or '', who still needs the oldest entry left,
--      id, blob key or '' …}: the removed ones.
if redis.call('HGET', KEYS[1], 'owner') ~= ARGV[1] then return {'FENCED'} end

redis.call('XTRIM', KEYS[3], 'MINID', '~', ARGV[4] .. '-0')
redis.call('XTRIM', KEYS[3], 'MAXLEN', '~', ARGV[5])

local known = {}
for i = 9, #ARGV do known[ARGV[i]] = true end
local registered = redis.call('HGETALL', KEYS[4])
local groups = {}
for i = 1, #registered, 2 do
  if not known[registered[i]] then return {'CHANGED'} end
  for _, group in ipairs(cjson.decode(registered[i + 1])) do groups[group] = false end
end
if next(groups) == nil then return {'NOGROUP'} end
if redis.call('EXISTS', KEYS[2]) == 0 then return {'OK', '', ''} end

local function parse(id)
  local ms, n = string.match(id, '^(%d+)-(%d+)$')
  return {tonumber(ms), tonumber(n)}
end
local function less(a, b) return a[1] < b[1] or (a[1] == b[1] and a[2] < b[2]) end

-- The bound: the smallest id that somebody still needs.
local bound, holder
local function keep(id, who)
  if not bound or less(id, bound) then bound, holder = id, who end
end
for _, info in ipairs(redis.call('XINFO', 'GROUPS', KEYS[2])) do
  local g = {}
  for i = 1, #info, 2 do g[info[i]] = info[i + 1] end
  if groups[g.name] == false then
    groups[g.name] = true
    local who = 'consumer group ' .. g.name
    if g.pending > 0 then
      keep(parse(redis.call('XPENDING', KEYS[2], g.name)[2]), who)
    else
      local last = parse(g['last-delivered-id'])
      keep({last[1], last[2] + 1}, who)
    end
  end
end
for group, found in pairs(groups) do
  if not found then return {'MISSING', group} end
end
-- A marked entry is not removed anyhow (below), so what waits for it holds nothing else.
local function oldest_unmarked(outbox)
  local id
  for start = 0, 9900, 100 do
    local members = redis.call('ZRANGE', outbox, start, start + 99)
    for _, member in ipairs(members) do
      id = string.match(member, '^%S+ %S+ %S+ %S+ (%S+)')
      if redis.call('HEXISTS', KEYS[5], id) == 0 then return id end
    end
    if #members < 100 then return nil end
  end
  return id
end
for i = 6, #KEYS do
  local oldest = oldest_unmarked(KEYS[i])
  if oldest then keep(parse(oldest), 'after-download actions of connection ' .. ARGV[i + 3]) end
end

local forced = tonumber(ARGV[6])
local looked = redis.call('XRANGE', KEYS[2], ARGV[7], '+', 'COUNT', ARGV[8])
local answer = {'OK', '', holder}
for _, entry in ipairs(looked) do
  local id, fields = entry[1], {}
  for i = 1, #entry[2], 2 do fields[entry[2][i]] = entry[2][i + 1] end
  local old = parse(id)[1] <= tonumber(ARGV[2]) or (fields.committed and fields.committed <= ARGV[3])
  if not less(parse(id), bound) then return answer end
  if not old and (#answer - 3) / 2 >= forced then return answer end
  if redis.call('HEXISTS', KEYS[5], id) == 0 then -- a marked entry waits for people
    redis.call('XDEL', KEYS[2], id)
    answer[#answer + 1] = id
    answer[#answer + 1] = fields.blob or ''
  end
end
if #looked == tonumber(ARGV[8]) then
  answer[2] = '(' .. looked[#looked][1]
elseif redis.call('XLEN', KEYS[2]) > 0 then -- everything was looked at: what is left is marked
  answer[3] = 'people, as consumers marked them (kubectl mailfetch queue)'
end
if forced > 0 then -- the bodies that were looked at still fill the memory that was to be freed
  looked = nil
  collectgarbage()
end
return answer
