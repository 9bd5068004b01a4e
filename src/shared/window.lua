-- What a subject has used in the last sixty seconds, noted as each gateway does for itself: by the second, modulo SECONDS, with
-- the sum of each kind ('r' requests, 't' tokens) and the latest second. The time is the server's.
local SECONDS = 61
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local function whole(number)
  return string.format('%.0f', number)
end

-- Forgets what is too old, so that as a rule nothing but the sums is read.
local function open(key)
  local known = redis.call('HMGET', key, 'newest', 'r', 't')
  local second = math.floor(now / 1000)
  local before = tonumber(known[1] or second)
  local window = {
    key = key,
    newest = math.max(second, before),
    r = tonumber(known[2] or 0),
    t = tonumber(known[3] or 0),
  }
  local passed = math.min(window.newest - before, SECONDS)
  for step = 1, passed do
    for _, kind in ipairs({ 'r', 't' }) do
      local field = kind .. whole((before + step) % SECONDS)
      window[kind] = window[kind] - tonumber(redis.call('HGET', key, field) or 0)
      redis.call('HDEL', key, field)
    end
  end
  if passed > 0 then
    redis.call('HSET', key, 'newest', whole(window.newest), 'r', whole(window.r), 't', whole(window.t))
  end
  return window
end

local function change(window, kind, second, amount)
  redis.call('HINCRBY', window.key, kind .. whole(second % SECONDS), whole(amount))
  redis.call('HINCRBY', window.key, kind, whole(amount))
  window[kind] = window[kind] + amount
end

local function add(window, kind, amount)
  if amount > 0 then
    change(window, kind, window.newest, amount)
    redis.call('HSET', window.key, 'newest', whole(window.newest))
    redis.call('PEXPIRE', window.key, (SECONDS + 1) * 1000)
  end
end

-- Takes back what was used in a second, where that is still remembered.
local function take_back(window, kind, second, amount)
  if second > window.newest - SECONDS and second <= window.newest then
    local used = tonumber(redis.call('HGET', window.key, kind .. whole(second % SECONDS)) or 0)
    if math.min(amount, used) > 0 then change(window, kind, second, -math.min(amount, used)) end
  end
end

-- Milliseconds until at most so much is remembered.
local function wait(window, kind, most)
  local left, oldest = window[kind], window.newest - SECONDS + 1
  if left <= most then return 0 end
  local fields = {}
  for second = oldest, window.newest do
    fields[#fields + 1] = kind .. whole(second % SECONDS)
  end
  for at, used in ipairs(redis.call('HMGET', window.key, unpack(fields))) do
    left = left - tonumber(used or 0)
    if left <= most then return (oldest + at - 1 + SECONDS) * 1000 - now end
  end
  return 0
end

