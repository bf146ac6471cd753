-- Makes the state of a mailbox that was never seen, or puts another mailbox's state aside and makes a new one.
-- KEYS 1 state, 2 lease, then pairs: key of what belongs to the state, key where it is put aside.
-- ARGV 1 pod, 2 id of the state to put aside ('' = there must be none), then field, value … of the new state.
-- Answers {OK} {CHANGED} {HELD, owner, ms}.
local id = redis.call('HGET', KEYS[1], 'stateId') or ''
if id ~= ARGV[2] then return {'CHANGED'} end
local lease = redis.call('GET', KEYS[2])
if lease and string.match(lease, '^%S*') ~= ARGV[1] then return {'HELD', lease, redis.call('PTTL', KEYS[2])} end
-- What the old state owned goes with it, also when the state itself was lost: its hashes have another key.
for i = 3, #KEYS, 2 do
  if redis.call('EXISTS', KEYS[i]) == 1 then
    redis.call('RENAME', KEYS[i], KEYS[i + 1])
  elseif id ~= '' then
    redis.call('UNLINK', KEYS[i + 1])
  end
end
redis.call('HSET', KEYS[1], unpack(ARGV, 3))
return {'OK'}
