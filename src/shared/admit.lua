-- Admits a request by all claims on it, or by none. What a claim's subject has used is kept by the second, as each gateway
-- keeps it for itself; the time is the server's.
--
-- KEYS: for each claim what its subject has used, and what it has running.
-- ARGV: the request's lease and how many milliseconds that holds; for each claim the tokens that are needed, then the most
--       requests, tokens and running requests, -1 where there is no limit.
-- Returns the number of the claim that refuses (0: none), the limit's kind, the wait in milliseconds and the second; then for
-- each claim requests and tokens used, each with the milliseconds until all is forgotten.
local SECONDS = 61
local REQUESTS, TOKENS, RUNNING = 1, 2, 3

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local second = math.floor(now / 1000)

local function field(kind, at)
  return kind .. string.format('%.0f', at)
end

-- What is used of one kind, oldest first.
local function window(fields, kind)
  local uses, sum = {}, 0
  for i = 1, #fields, 2 do
    local at = tonumber(string.sub(fields[i], 2))
    if string.sub(fields[i], 1, 1) == kind and at > second - SECONDS then
      local amount = tonumber(fields[i + 1])
      uses[#uses + 1] = { at = at, amount = amount }
      sum = sum + amount
    end
  end
  table.sort(uses, function(one, other) return one.at < other.at end)
  return { uses = uses, sum = sum }
end

-- Until at most so much is remembered.
local function wait(window, most)
  local left = window.sum
  for _, use in ipairs(window.uses) do
    if left <= most then break end
    left = left - use.amount
    if left <= most then return (use.at + SECONDS) * 1000 - now end
  end
  return 0
end

local claims = {}
for i = 1, #KEYS / 2 do
  local at = 2 + (i - 1) * 4
  local key = KEYS[2 * i - 1]
  local fields = redis.call('HGETALL', key)
  for f = 1, #fields, 2 do
    if tonumber(string.sub(fields[f], 2)) <= second - SECONDS then redis.call('HDEL', key, fields[f]) end
  end
  claims[i] = {
    used = key,
    running = KEYS[2 * i],
    requests = window(fields, 'r'),
    tokens = window(fields, 't'),
    needed = tonumber(ARGV[at + 1]),
    most_requests = tonumber(ARGV[at + 2]),
    most_tokens = tonumber(ARGV[at + 3]),
    most_running = tonumber(ARGV[at + 4]),
  }
end

local function refusal(claim)
  if claim.most_running >= 0 then
    redis.call('ZREMRANGEBYSCORE', claim.running, '-inf', string.format('%.0f', now))
    if redis.call('ZCARD', claim.running) >= claim.most_running then return RUNNING, 1000 end
  end
  if claim.most_requests >= 0 and claim.requests.sum >= claim.most_requests then
    return REQUESTS, wait(claim.requests, math.max(claim.most_requests - 1, 0))
  end
  if claim.most_tokens >= 0 and claim.tokens.sum + claim.needed > claim.most_tokens then
    if claim.needed > claim.most_tokens then return TOKENS, 60000 end
    return TOKENS, wait(claim.tokens, claim.most_tokens - claim.needed)
  end
end

local function answer(refused, kind, pause)
  local told = { refused, kind, pause, second }
  for _, claim in ipairs(claims) do
    for _, window in ipairs({ claim.requests, claim.tokens }) do
      told[#told + 1] = window.sum
      told[#told + 1] = wait(window, 0)
    end
  end
  return told
end

for i, claim in ipairs(claims) do
  local kind, pause = refusal(claim)
  if kind then return answer(i, kind, pause) end
end

local function use(claim, window, kind, amount)
  if amount == 0 then return end
  redis.call('HINCRBY', claim.used, field(kind, second), amount)
  window.sum = window.sum + amount
  window.uses[#window.uses + 1] = { at = second, amount = amount }
end

for _, claim in ipairs(claims) do
  use(claim, claim.requests, 'r', 1)
  use(claim, claim.tokens, 't', claim.needed)
  redis.call('PEXPIRE', claim.used, (SECONDS + 1) * 1000)
  if claim.most_running >= 0 then
    redis.call('ZADD', claim.running, string.format('%.0f', now + tonumber(ARGV[2])), ARGV[1])
    redis.call('PEXPIRE', claim.running, ARGV[2])
  end
end
return answer(0, 0, 0)
