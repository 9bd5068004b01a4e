-- Ends a request: what was reserved too much comes back where it was taken; what was too little counts from now.
--
-- KEYS: as for admitting.
-- ARGV: the lease, the second in which the request is noted, and the tokens spent, or -1 where that is not known, or -2 where
--       not even the request counts; then for each claim the tokens that were reserved.
local time = redis.call('TIME')
local spent = tonumber(ARGV[3])

local function take_back(key, kind, amount)
  local field = kind .. ARGV[2]
  local used = tonumber(redis.call('HGET', key, field) or 0)
  amount = math.min(amount, used)
  if amount > 0 then redis.call('HINCRBY', key, field, -amount) end
end

for i = 1, #KEYS / 2 do
  local used, running, reserved = KEYS[2 * i - 1], KEYS[2 * i], tonumber(ARGV[3 + i])
  if spent == -2 then
    take_back(used, 'r', 1)
    take_back(used, 't', reserved)
  elseif spent > reserved then
    redis.call('HINCRBY', used, 't' .. time[1], spent - reserved)
    redis.call('PEXPIRE', used, 62000)
  elseif spent >= 0 then
    take_back(used, 't', reserved - spent)
  end
  redis.call('ZREM', running, ARGV[1])
end
