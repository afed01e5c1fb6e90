-- Removes a claim, or leaves it as a remnant, and rings whoever has the turn. KEYS: claim, remnant (if one is to be left).
-- ARGV: keep. Answers 1, or 0 if there was none.

local claim, remnant, keeps = KEYS[1], KEYS[2], tonumber(ARGV[1])
local found = redis.call('HMGET', claim, 'number', 'mode', 'expires', 'queues')
if not found[1] then return 0 end
local number, released = tonumber(found[1]), tonumber(found[2])
local held = tonumber(found[3]) >= now
local freed, rung, met = {}, {}, false

-- Finds who has no room on a queue because of this claim. Nobody behind the first that would have none without it either.
-- Remnants may count or not.
local function free(queue, count)
  local with, without, offset, size = empty(), empty(), 0, 2
  while true do
    local some = redis.call('ZRANGE', queue, offset, offset + size - 1, 'WITHSCORES')
    for i = 1, #some, 2 do
      local name, at = some[i], tonumber(some[i + 1])
      if name == claim then
        add(with, released)
      else
        local mode, _, remnant = look(name)
        met = met or remnant
        if mode and (count or not remnant) then
          if at > number and not fits(without, mode) then return end
          if at > number and not remnant and not fits(with, mode) then freed[name] = { mode, queue } end
          add(with, mode)
          add(without, mode)
          if without.alone then return end
        end
      end
    end
    if #some < 2 * size then return end
    offset, size = offset + size, 64
  end
end

-- Whether a claim that has room on one queue without this one has it on its others.
local function turn(number, mode, queues, known, count)
  for queue in string.gmatch(queues, '[^\n]+') do
    local room = empty()
    if queue ~= known then
      for _, ahead in ipairs(try('ZRANGE', queue, '-inf', '(' .. number, 'BYSCORE') or {}) do
        if ahead ~= claim then
          local its, _, remnant = look(ahead)
          met = met or remnant
          if its and (count or not remnant) then add(room, its) end
        end
        if not fits(room, mode) then return false end
      end
    end
  end
  return true
end

-- Rings whose turn it is; with the remnants that there are, then, if any was met, as if they were gone.
local function ring(count)
  freed = {}
  for queue in string.gmatch(found[4], '[^\n]+') do
    free(queue, count)
  end
  for name, its in pairs(freed) do
    local other = redis.call('HMGET', name, 'number', 'queues', 'bell', 'tag')
    if not rung[name] and turn(other[1], its[1], other[2], its[2], count) then
      redis.call('PUBLISH', other[3], other[4])
      rung[name] = true
    end
  end
end

if held then
  ring(true)
  if met then ring(false) end
end

for queue in string.gmatch(found[4], '[^\n]+') do
  if redis.call('ZREM', queue, claim) == 0 then held = false end
end
if not held or not remnant then
  redis.call('DEL', claim)
  return held and 1 or 0
end
redis.call('RENAME', claim, remnant)
redis.call('HSET', remnant, 'expires', now + keeps, 'ttl', keeps, 'remnant', 1)
redis.call('PEXPIRE', remnant, keeps)
for queue in string.gmatch(found[4], '[^\n]+') do
  redis.call('ZADD', queue, found[1], remnant)
  if redis.call('PEXPIRE', queue, keeps, 'NX') == 0 then redis.call('PEXPIRE', queue, keeps, 'GT') end
end
return 1
