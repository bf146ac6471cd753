#!lua flags=allow-oom
-- Removes entries that every named group acknowledged, oldest first; without a named group nothing is removed.
-- KEYS 1 state, 2 queue, 3 log, 4 connections, 5 marks, then the outbox of each connection of the stream.
-- ARGV 1 owner, 2 and 3 entries of this time or before are old (in ms, and as `committed` has it: ids stay ahead for long
--      after a clock that jumped), 4 the same for log lines in ms, 5 most log lines, 6 entries to remove whatever their age,
--      7 start of the look ('-', or '(' and an id), 8 entries to look at, 9 number of connections, then for each, in the
--      order of KEYS, its name, then for each where its outbox is looked at from: members of lower scores are about marked
--      entries; then where to stop: '(' and the id of each marked entry behind the start, which is passed over without
--      reading it, or of some of them; at the end '+' if these are all.
-- Answers {FENCED} {CHANGED} {NOGROUP} {MISSING, group} or {OK, next start or '', who still needs the oldest entry left,
--      id, blob key or '' …}: the removed ones.
if redis.call('HGET', KEYS[1], 'owner') ~= ARGV[1] then return {'FENCED'} end

redis.call('XTRIM', KEYS[3], 'MINID', '~', ARGV[4] .. '-0')
redis.call('XTRIM', KEYS[3], 'MAXLEN', '~', ARGV[5])

local connections = tonumber(ARGV[9])
local known = {}
for i = 1, connections do known[ARGV[9 + i]] = true end
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
local function oldest_needed(outbox, score)
  local id
  local members = redis.call('ZRANGE', outbox, score, '+inf', 'BYSCORE', 'LIMIT', 0, 100)
  for _, member in ipairs(members) do
    id = string.match(member, '^%S+ %S+ %S+ %S+ (%S+)')
    if redis.call('HEXISTS', KEYS[5], id) == 0 then return id end
  end
  if #members == 100 then return id end -- so many were marked just now: the next call looks further
end
for i = 1, connections do
  local oldest = oldest_needed(KEYS[5 + i], ARGV[9 + connections + i])
  if oldest then keep(parse(oldest), 'after-download actions of connection ' .. ARGV[9 + i]) end
end

local forced, left = tonumber(ARGV[6]), tonumber(ARGV[8])
local answer = {'OK', '', holder}
local function is_old(id, fields)
  return parse(id)[1] <= tonumber(ARGV[2]) or (fields.committed and fields.committed <= ARGV[3])
end
local function remove(id, body) -- answers whether the look goes on
  local fields = {}
  for i = 1, #body, 2 do fields[body[i]] = body[i + 1] end
  if not less(parse(id), bound) then return false end
  if not is_old(id, fields) and (#answer - 3) / 2 >= forced then return false end
  if redis.call('HEXISTS', KEYS[5], id) == 0 then -- a marked entry waits for people
    redis.call('XDEL', KEYS[2], id)
    answer[#answer + 1] = id
    answer[#answer + 1] = fields.blob or ''
  end
  return true
end
local function look() -- answers where the next look starts; '' if there is nothing more to look at
  local start = ARGV[7]
  for i = 10 + 2 * connections, #ARGV do
    local looked = redis.call('XRANGE', KEYS[2], start, ARGV[i], 'COUNT', left)
    for _, entry in ipairs(looked) do
      if not remove(entry[1], entry[2]) then return '' end
    end
    left = left - #looked
    if left == 0 then return '(' .. looked[#looked][1] end
    start = ARGV[i]
  end
  if start ~= '+' then return start end
  if redis.call('XLEN', KEYS[2]) > 0 then -- everything was looked at: what is left is marked
    answer[3] = 'people, as consumers marked them (kubectl mailfetch queue)'
  end
  return ''
end
answer[2] = look()
if forced > 0 then collectgarbage() end -- the bodies that were looked at still fill the memory that was to be freed
return answer
