-- Removes a claim, or leaves it as a remnant, and rings whoever has the turn. KEYS: claim, queue..., remnant if one is to
-- be left. ARGV: keep, zero for none. Answers 1, or 0 if there was no claim.

local claim, keeps = KEYS[1], ARGV[1]
local text = redis.call('GET', claim)
if not text then return 0 end

-- The short way, as in `take.lua`: where there is nobody else, nobody is rung.
if #KEYS == 2 and keeps == '0' then
  local names = redis.call('ZRANGE', KEYS[2], '0', '1')
  if names[1] == claim and not names[2] then
    redis.call('DEL', claim, KEYS[2])
    return 1
  end
end

