-- Removes a claim, or leaves it as a remnant, and rings whoever has the turn. KEYS: claim, queue..., remnant if one is to
-- be left. ARGV: keep, zero for none. Answers 1, or 0 if there was no claim.

local claim, keeps = KEYS[1], ARGV[1]
local text = redis.call('GET', claim)
if not text then return 0 end

-- The short way, as in `take.lua`. Where there is nobody else, nobody is rung. Where the next one wants this key alone, and
-- no other, it has its turn, and nobody behind it has one.
local names = #KEYS == 2 and keeps == '0' and redis.call('ZRANGE', KEYS[2], '0', '1') or {}
if names[1] == claim then
  if not names[2] then
    redis.call('DEL', claim, KEYS[2])
    return 1
  end
  local waiter = redis.call('GET', names[2]) or ''
  local number, tag, bell = string.match(waiter, '^(%d+) 0 %d+ (%d+) (%S+) [^\n]*\n[^\n]*$')
  if number and bell ~= '-' then
    redis.call('PUBLISH', bell, tag .. ' ' .. number)
    redis.call('ZREM', KEYS[2], claim)
    redis.call('DEL', claim)
    return 1
  end
end

