#!lua flags=allow-oom
-- Keeps a sealed refresh token, if the mailbox is still ours.
-- KEYS 1 state, 2 token. ARGV 1 owner, 2 sealed token. Answers OK or FENCED.
if redis.call('HGET', KEYS[1], 'owner') ~= ARGV[1] then return 'FENCED' end
redis.call('SET', KEYS[2], ARGV[2])
return 'OK'
