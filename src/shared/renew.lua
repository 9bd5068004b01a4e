-- Prolongs leases of requests that still run.
--
-- KEYS: for each lease what its subject has running.
-- ARGV: how many milliseconds a lease holds; then the leases.
local time = redis.call('TIME')
local ends = string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000) + tonumber(ARGV[1]))
for i = 1, #KEYS do
  -- One that was forgotten, as by a restart of the server, is taken anew: its request does run.
  redis.call('ZADD', KEYS[i], ends, ARGV[1 + i])
  redis.call('PEXPIRE', KEYS[i], ARGV[1])
end
