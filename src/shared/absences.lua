-- Tells which providers this gateway leaves alone, and asks which ones the others do.
--
-- KEYS: the absences, by provider and reason. Each is the time of its end and the gateway that told of it.
-- ARGV: this gateway; then providers with the reason, each with the milliseconds for which it is left alone.
-- Returns the same of the other gateways.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local mine, told = {}, {}
for i = 2, #ARGV, 2 do
  mine[ARGV[i]] = now + tonumber(ARGV[i + 1])
end

local known = redis.call('HGETALL', KEYS[1])
for i = 1, #known, 2 do
  local provider = known[i]
  local ends, node = string.match(known[i + 1], '^(%d+) (.+)$')
  ends = tonumber(ends)
  if node == ARGV[1] then
    if not mine[provider] then redis.call('HDEL', KEYS[1], provider) end
  elseif ends <= now then
    redis.call('HDEL', KEYS[1], provider)
  else
    told[#told + 1] = provider
    told[#told + 1] = string.format('%.0f', ends - now)
    -- What was learned from another is not told as one's own: a second is the time that learning may take.
    if mine[provider] and mine[provider] <= ends + 1000 then mine[provider] = nil end
  end
end

local longest = 0
for provider, ends in pairs(mine) do
  redis.call('HSET', KEYS[1], provider, string.format('%.0f %s', ends, ARGV[1]))
  longest = math.max(longest, ends - now)
end
if longest > redis.call('PTTL', KEYS[1]) then redis.call('PEXPIRE', KEYS[1], math.ceil(longest)) end
return told
