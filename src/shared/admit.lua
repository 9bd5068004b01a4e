-- Admits a request by all claims on it, or by none.
--
-- KEYS: for each claim what its subject has used, and what it has running.
-- ARGV: the request's lease and how many milliseconds that holds; for each claim the tokens that are needed, then the most
--       requests, tokens and running requests, -1 where there is no limit.
-- Returns the number of the claim that refuses (0: none), the limit's kind, the wait in milliseconds and the second; then for
-- each claim requests and tokens used, each with the milliseconds until all is forgotten.
local REQUESTS, TOKENS, RUNNING = 1, 2, 3

local claims = {}
for i = 1, #KEYS / 2 do
  local at = 2 + (i - 1) * 4
  claims[i] = {
    window = open(KEYS[2 * i - 1]),
    running = KEYS[2 * i],
    needed = tonumber(ARGV[at + 1]),
    most_requests = tonumber(ARGV[at + 2]),
    most_tokens = tonumber(ARGV[at + 3]),
    most_running = tonumber(ARGV[at + 4]),
  }
end

local function refusal(claim)
  local window = claim.window
  if claim.most_running >= 0 then
    redis.call('ZREMRANGEBYSCORE', claim.running, '-inf', whole(now))
    if redis.call('ZCARD', claim.running) >= claim.most_running then return RUNNING, 1000 end
  end
  if claim.most_requests >= 0 and window.r >= claim.most_requests then
    return REQUESTS, wait(window, 'r', math.max(claim.most_requests - 1, 0))
  end
  if claim.most_tokens >= 0 and window.t + claim.needed > claim.most_tokens then
    if claim.needed > claim.most_tokens then return TOKENS, 60000 end
    return TOKENS, wait(window, 't', claim.most_tokens - claim.needed)
  end
end

local function answer(refused, kind, pause, reset)
  local told = { refused, kind, pause, math.floor(now / 1000) }
  local function tell(window, kind, most)
    told[#told + 1] = window[kind]
    -- Where there is no limit nobody asks.
    told[#told + 1] = most >= 0 and reset(window, kind) or 0
  end
  for _, claim in ipairs(claims) do
    tell(claim.window, 'r', claim.most_requests)
    tell(claim.window, 't', claim.most_tokens)
  end
  return told
end

for i, claim in ipairs(claims) do
  local kind, pause = refusal(claim)
  if kind then
    return answer(i, kind, pause, function(window, kind) return wait(window, kind, 0) end)
  end
end

for _, claim in ipairs(claims) do
  add(claim.window, 'r', 1)
  add(claim.window, 't', claim.needed)
  if claim.most_running >= 0 then
    redis.call('ZADD', claim.running, whole(now + tonumber(ARGV[2])), ARGV[1])
    redis.call('PEXPIRE', claim.running, ARGV[2])
  end
end
-- What was used just now is the last to be forgotten.
return answer(0, 0, 0, function(window, kind)
  return window[kind] > 0 and (window.newest + SECONDS) * 1000 - now or 0
end)
