-- Entries of the queue for people: what is said of them, without their bodies, and where they stand with the groups; all
-- at one moment.
-- KEYS 1 queue, 2 marks. ARGV 1 `page`, then start and end of a look backwards and most entries of it (bodies pass through
--      the script); or `ids`, then ids of entries.
-- Answers {next start or '', groups, entries}. A group is {name, last delivered, entries it has not got or '', pending,
--      consumers}; an entry is {id, mark or '', fields, pending}, where pending is a list of {group, consumer, idle
--      milliseconds, deliveries}.
local queue = KEYS[1]
local groups, entries, following = {}, {}, ''
if redis.call('EXISTS', queue) == 0 then return {following, groups, entries} end

for _, flat in ipairs(redis.call('XINFO', 'GROUPS', queue)) do
  local g = {}
  for i = 1, #flat, 2 do g[flat[i]] = flat[i + 1] end
  groups[#groups + 1] = {g.name, g['last-delivered-id'], g.lag and tostring(g.lag) or '', g.pending, g.consumers}
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

if ARGV[1] == 'page' then
  local looked = redis.call('XREVRANGE', queue, ARGV[2], ARGV[3], 'COUNT', ARGV[4])
  for _, entry in ipairs(looked) do add(entry) end
  if #looked == tonumber(ARGV[4]) then following = '(' .. looked[#looked][1] end
else
  for i = 2, #ARGV do
    local found = redis.call('XRANGE', queue, ARGV[i], ARGV[i])[1]
    if found then add(found) end
  end
end
return {following, groups, entries}
