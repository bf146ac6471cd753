-- What of a stream belongs to one connection. KEYS 1 stream. ARGV 1 connection, 2 start of the look, 3 entries to look at.
-- Answers {next start or '', id, blob key or '' …}.
local looked = redis.call('XRANGE', KEYS[1], ARGV[2], '+', 'COUNT', ARGV[3])
local answer = {''}
for _, entry in ipairs(looked) do
  local blob, mine = '', false
  for i = 1, #entry[2], 2 do
    if entry[2][i] == 'connection' then mine = entry[2][i + 1] == ARGV[1] end
    if entry[2][i] == 'blob' then blob = entry[2][i + 1] end
  end
  if mine then
    answer[#answer + 1] = entry[1]
    answer[#answer + 1] = blob
  end
end
if #looked == tonumber(ARGV[3]) then answer[1] = '(' .. looked[#looked][1] end
return answer
