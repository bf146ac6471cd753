#!lua flags=allow-oom
-- Removes what an earlier attempt staged. KEYS 1 state, then the keys. ARGV 1 owner. Answers OK or FENCED.
if redis.call('HGET', KEYS[1], 'owner') ~= ARGV[1] then return 'FENCED' end
for i = 2, #KEYS do redis.call('UNLINK', KEYS[i]) end
return 'OK'
