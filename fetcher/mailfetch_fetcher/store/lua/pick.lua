-- Entries of a stream in which any of some fields has one of some values; without bodies.
-- KEYS 1 stream. ARGV 1 start, 2 most entries to look at, then pairs of field and value.
-- Answers {next start or '', {id, fields} …}, oldest first.
local looked = redis.call('XRANGE', KEYS[1], ARGV[1], '+', 'COUNT', ARGV[2])
local wanted = {}
for i = 3, #ARGV, 2 do
  wanted[ARGV[i]] = wanted[ARGV[i]] or {}
  wanted[ARGV[i]][ARGV[i + 1]] = true
end
local answer = {''}
for _, entry in ipairs(looked) do
  local fields, matches = {}, false
  for i = 1, #entry[2], 2 do
    local name, value = entry[2][i], entry[2][i + 1]
    if name ~= 'raw' then
      fields[#fields + 1] = name
      fields[#fields + 1] = value
    end
    if wanted[name] and wanted[name][value] then matches = true end
  end
  if matches then answer[#answer + 1] = {entry[1], fields} end
end
if #looked == tonumber(ARGV[2]) then answer[1] = '(' .. looked[#looked][1] end
return answer
