#!lua flags=allow-oom
-- The last step: state and lease. KEYS 1 state, 2 lease. ARGV 1 owner. Answers OK or FENCED.
local owner = redis.call('HGET', KEYS[1], 'owner')
if owner and owner ~= ARGV[1] then return 'FENCED' end
redis.call('UNLINK', KEYS[1])
if redis.call('GET', KEYS[2]) == ARGV[1] then redis.call('UNLINK', KEYS[2]) end
return 'OK'
