#!lua flags=allow-oom
-- Makes sure that a named consumer group exists with its sentinel, and says which entries the group is through with:
-- all at one moment.
--
-- The sentinel is a consumer of the group that nobody uses. A group that was destroyed and made anew lacks it, and then
-- what the group seems to have acknowledged proves nothing. So whenever the sentinel is put into a group that was there
-- already, `groups` notes that proof begins behind the newest entry.
--
-- KEYS 1 queue, 2 groups, 3 marks.
-- ARGV 1 group, 2 name of the sentinel, 3 a random token, 4 `again` = proof begins anew also if the sentinel is there,
--      then ids of entries.
-- Answers {record, last delivered, entries read or '', newest entry, then for each id:
--   new (not delivered), pending, gone (deleted), marked, or acked}. The record is JSON: token, from, last, read.
local queue, group = KEYS[1], ARGV[1]

local function named(list, name)
  for _, flat in ipairs(list) do
    local item = {}
    for i = 1, #flat, 2 do item[flat[i]] = flat[i + 1] end
    if item.name == name then return item end
  end
end
local function find()
  return redis.call('EXISTS', queue) == 1 and named(redis.call('XINFO', 'GROUPS', queue), group)
end

local newest = '0-0'
local found = find()
if redis.call('EXISTS', queue) == 1 then -- (XINFO STREAM would copy two bodies)
  local entries = redis.call('XREVRANGE', queue, '+', '-', 'COUNT', 1)
  if entries[1] then newest = entries[1][1] end
end

local from = newest
if not found then
  redis.call('XGROUP', 'CREATE', queue, group, '0', 'MKSTREAM')
  found, from = find(), '0-0' -- made here at 0: it reads everything
end
local record = redis.call('HGET', KEYS[2], group)
if not record or ARGV[4] == 'again' or not named(redis.call('XINFO', 'CONSUMERS', queue, group), ARGV[2]) then
  redis.call('XGROUP', 'CREATECONSUMER', queue, group, ARGV[2])
  record = cjson.encode({token = ARGV[3], from = from, last = found['last-delivered-id'], read = found['entries-read'] or nil})
  redis.call('HSET', KEYS[2], group, record)
end

local function parse(id)
  local ms, n = string.match(id, '^(%d+)-(%d+)$')
  return tonumber(ms), tonumber(n)
end
local last_ms, last_n = parse(found['last-delivered-id'])
local answer = {record, found['last-delivered-id'], tostring(found['entries-read'] or ''), newest}
for i = 5, #ARGV do
  local id = ARGV[i]
  local ms, n = parse(id)
  local verdict = 'acked'
  if ms > last_ms or (ms == last_ms and n > last_n) then
    verdict = 'new'
  elseif #redis.call('XPENDING', queue, group, id, id, 1) > 0 then
    verdict = 'pending'
  elseif redis.call('HEXISTS', KEYS[3], id) == 1 then
    verdict = 'marked'
  elseif #redis.call('XRANGE', queue, id, id) == 0 then
    verdict = 'gone'
  end
  answer[#answer + 1] = verdict
end
return answer
