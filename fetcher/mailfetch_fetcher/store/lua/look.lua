-- Entries of the queue for people: what is said of them, without their bodies, and where they stand with the groups; all
-- at one moment.
-- KEYS 1 queue, 2 marks. ARGV 1 name of the sentinel (acks.lua), which is no consumer, 2 `page`, then start and end of a
--      look backwards and most entries of it (bodies pass through the script); or `ids`, then ids of entries.
-- Answers {next start or '', groups, entries}. A group is {name, last delivered, entries it has not got or '', pending,
--      consumers}; an entry is {id, mark or '', fields, pending}, where pending is a list of {group, consumer, idle
--      milliseconds, deliveries}.
local queue = KEYS[1]
local groups, entries, following = {}, {}, ''
if redis.call('EXISTS', queue) == 0 then return {following, groups, entries} end

for _, flat in ipairs(redis.call('XINFO', 'GROUPS', queue)) do
  local g = {}
  for i = 1, #flat, 2 do g[flat[i]] = flat[i + 1] end
  local consumers = 0
  for _, consumer in ipairs(redis.call('XINFO', 'CONSUMERS', queue, g.name)) do
    if consumer[2] ~= ARGV[1] then consumers = consumers + 1 end
  end
  groups[#groups + 1] = {g.name, g['last-delivered-id'], g.lag and tostring(g.lag) or '', g.pending, consumers}
end

local function add(entry)
  local fields, pending = {}, {}
  for i = 1, #entry[2], 2 do
    if entry[2][i] ~= 'raw' then
      fields[#fields + 1] = entry[2][i]
      fields[#fields + 1] = entry[2][i + 1]
    end
  end
  for _, group in ipairs(groups) do
    local held = group[4] > 0 and redis.call('XPENDING', queue, group[1], entry[1], entry[1], 1)[1]
    if held then pending[#pending + 1] = {group[1], held[2], held[3], held[4]} end
  end
  entries[#entries + 1] = {entry[1], redis.call('HGET', KEYS[2], entry[1]) or '', fields, pending}
end

if ARGV[2] == 'page' then
  local looked = redis.call('XREVRANGE', queue, ARGV[3], ARGV[4], 'COUNT', ARGV[5])
  for _, entry in ipairs(looked) do add(entry) end
  if #looked == tonumber(ARGV[5]) then following = '(' .. looked[#looked][1] end
else
  for i = 3, #ARGV do
    local found = redis.call('XRANGE', queue, ARGV[i], ARGV[i])[1]
    if found then add(found) end
  end
end
return {following, groups, entries}
