-- Enters numbers into the staged ledger, and says which of them the ledger has.
-- KEYS 1 state, then the staged buckets and as many buckets of the ledger, for each number in turn.
-- ARGV 1 owner, then the numbers. Answers {FENCED} or {OK, for each number: 1 if it was new to the stage, 1 if known, …}.
if redis.call('HGET', KEYS[1], 'owner') ~= ARGV[1] then return {'FENCED'} end
local answer = {'OK'}
for i = 2, #ARGV do
  answer[#answer + 1] = redis.call('SADD', KEYS[2 * i - 2], ARGV[i])
  answer[#answer + 1] = redis.call('SISMEMBER', KEYS[2 * i - 1], ARGV[i])
end
return answer
