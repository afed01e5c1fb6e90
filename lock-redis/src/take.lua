-- Looks once. KEYS: counter, claim, queue... ARGV: ttl, the claim's text without its number, mode, waits
-- Answers a token, which is a text; or in how many milliseconds to look again, and the number of the place if there is
-- one.
--
-- This is the short way, for what servers do all day: it stands before the definitions that only the long way needs,
-- and leaves numbers as texts, which a script is quicker to pass on.

local counter, claim, ttl, text = KEYS[1], KEYS[2], ARGV[1], ARGV[2]

-- Writes a claim and its place in each queue, which is no older than what was there.
local function enter()
  local time, last = redis.call('TIME'), redis.call('GET', counter)
  local number = time[1] .. string.sub('00000' .. time[2], -6)
  if last and (#last ~= #number or last >= number) then
    -- Below 2^53, as microseconds are until 2255: above it, a number would be rounded.
    if not tonumber(last) then error('WRONGTYPE the counter is no number') end
    number = string.format('%.0f', math.max(last + 1, tonumber(number)))
  end
  redis.call('SET', counter, number)
  redis.call('SET', claim, number .. ' ' .. text, 'PX', ttl)
  for i = 3, #KEYS do
    redis.call('ZADD', KEYS[i], number, claim)
    if redis.call('PEXPIRE', KEYS[i], ttl, 'NX') == 0 then redis.call('PEXPIRE', KEYS[i], ttl, 'GT') end
  end
  return number
end

-- Keeps a claim and its place until a ttl from now.
local function stay(number)
  redis.call('SET', claim, number .. ' ' .. text, 'PX', ttl)
  for i = 3, #KEYS do
    redis.call('PEXPIRE', KEYS[i], ttl, 'GT')
  end
  return number
end

local free, foremost = true, true
for i = 3, #KEYS do
  local name = redis.call('ZRANGE', KEYS[i], '0', '0')[1]
  free, foremost = free and not name, foremost and name == claim
end
if free then return enter() end
local found = foremost and redis.call('GET', claim)
local number = found and string.match(found, '^%d+ ')
if number then return stay(string.sub(number, 1, -2)) end

