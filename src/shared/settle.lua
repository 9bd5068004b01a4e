-- Ends a request: what was reserved too much comes back where it was taken; what was too little counts from now.
--
-- KEYS: as for admitting.
-- ARGV: the lease, the second in which the request is noted, and the tokens spent, or -1 where that is not known, or -2 where
--       not even the request counts; then for each claim the tokens that were reserved.
local second, spent = tonumber(ARGV[2]), tonumber(ARGV[3])

for i = 1, #KEYS / 2 do
  local window, running, reserved = open(KEYS[2 * i - 1]), KEYS[2 * i], tonumber(ARGV[3 + i])
  if spent == -2 then
    take_back(window, 'r', second, 1)
    take_back(window, 't', second, reserved)
  elseif spent > reserved then
    add(window, 't', spent - reserved)
  elseif spent >= 0 then
    take_back(window, 't', second, reserved - spent)
  end
  redis.call('ZREM', running, ARGV[1])
end
