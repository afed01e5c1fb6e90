
-- The long way.

local remnant = keeps ~= '0' and table.remove(KEYS) or nil
local mine = parse(text)
local number = tonumber(mine.number)
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
        add(with, mine.mode)
      else
        local other = look(name)
        local remnant = other and other.bell == '-'
        met = met or remnant
        if other and (count or not remnant) then
          if at > number and not fits(without, other.mode) then return end
          if at > number and not remnant and not fits(with, other.mode) then freed[name] = { other, queue } end
          add(with, other.mode)
          add(without, other.mode)
          if without.alone then return end
        end
      end
    end
    if #some < 2 * size then return end
    offset, size = offset + size, 64
  end
end

-- Whether a claim that has room on one queue without this one has it on its others.
local function turn(waiter, known, count)
  for queue in string.gmatch(waiter.queues, '[^\n]+') do
    local room = empty()
    if queue ~= known then
      for _, name in ipairs(try('ZRANGE', queue, '-inf', '(' .. waiter.number, 'BYSCORE') or {}) do
        local other = name ~= claim and look(name)
        if other then
          local remnant = other.bell == '-'
          met = met or remnant
          if count or not remnant then add(room, other.mode) end
        end
        if not fits(room, waiter.mode) then return false end
      end
    end
  end
  return true
end

-- Rings whose turn it is, and tells them their number; with the remnants that there are, then, if any was met, as if they
-- were gone. Those, and whoever is behind a remnant that this leaves, have to look.
local function ring(count)
  freed = {}
  for i = 2, #KEYS do
    free(KEYS[i], count)
  end
  for name, its in pairs(freed) do
    if not rung[name] and turn(its[1], its[2], count) then
      local waiter, comes = its[1], count and not remnant
      redis.call('PUBLISH', waiter.bell, comes and waiter.tag .. ' ' .. waiter.number or waiter.tag)
      rung[name] = true
    end
  end
end

ring(true)
if met then ring(false) end

local held = true
for i = 2, #KEYS do
  if redis.call('ZREM', KEYS[i], claim) == 0 then held = false end
end
redis.call('DEL', claim)
if not held then return 0 end
if remnant then
  local words = { mine.number, mine.mode, keeps, mine.tag, '-', mine.label }
  redis.call('SET', remnant, table.concat(words, ' ') .. '\n' .. mine.queues, 'PX', keeps)
  for i = 2, #KEYS do
    redis.call('ZADD', KEYS[i], mine.number, remnant)
    if redis.call('PEXPIRE', KEYS[i], keeps, 'NX') == 0 then redis.call('PEXPIRE', KEYS[i], keeps, 'GT') end
  end
end
return 1
