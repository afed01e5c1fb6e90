
-- The claims that found somebody. All of them, if one wants several queues.

-- The one that is looked for, and where its queues are among the keys.
local text, from, to, claim, ttl
-- What is written at those where one is alone.
local lone
-- How many claims ahead that conflict are looked at.
local NEAREST = 16

-- A number greater than all before.
local function count()
  last = last + 1
  return string.format('%d', last)
end

-- Writes a claim and its place in each queue, which is no older than what was there.
local function enter()
  local number = count()
  redis.call('SET', claim, text .. number, 'PX', ttl)
  for i = from, to do
    if lone[i] then spread(KEYS[i], lone[i]) end
    redis.call('ZADD', KEYS[i], number, claim)
    if redis.call('PEXPIRE', KEYS[i], ttl, 'NX') == 0 then redis.call('PEXPIRE', KEYS[i], ttl, 'GT') end
  end
  return number
end

-- Keeps a claim and its place until a ttl from now.
local function stay(number)
  redis.call('SET', claim, text .. number, 'PX', ttl)
  for i = from, to do
    redis.call('PEXPIRE', KEYS[i], ttl, 'GT')
  end
  return number
end

-- When claims ahead that conflict first lapse on a queue; nothing if there is room. More than the one just ahead count: that one
-- may leave, which rings nobody while a dead one before it has not lapsed. The nearest ones and the oldest are enough: who
-- comes to a long queue must not cost more than one who comes to a short one. Who skips never looks again, and learns of the
-- first.
local function lapse(i, mine, mode, skips, lapsed)
  local queue, room, first, seen, offset, size = KEYS[i], empty(), math.huge, 0, 0, 1
  if lone[i] then
    local other, lasts = remains(lone[i], queue)
    add(room, other)
    return not fits(room, mode) and lasts or nil
  end
  -- Passes by one that is ahead; whether it conflicts.
  local function pass(name)
    local its = name ~= claim and redis.call('GET', name)
    if not its then
      table.insert(lapsed, { queue, name })
      return false
    end
    local other, lasts = remains(its, name)
    if other == -1 and mode == -1 then return false end
    first, seen = math.min(first, lasts), seen + 1
    add(room, other)
    return true
  end
  local function oldest()
    for at = 0, math.huge, 64 do
      local names = redis.call('ZRANGE', queue, string.format('%d', at), string.format('%d', at + 63))
      for _, name in ipairs(names) do
        if pass(name) then return end
      end
      if #names < 64 then return end
    end
  end
  local below = mine and '(' .. mine.number or '+inf'
  while true do
    local names = redis.call('ZRANGE', queue, below, '-inf', 'BYSCORE', 'REV', 'LIMIT', offset, size)
    for _, name in ipairs(names) do
      pass(name)
      if (skips or seen >= NEAREST) and not fits(room, mode) then
        if not skips then oldest() end
        return first
      end
    end
    if #names < size then break end
    offset, size = offset + size, 64
  end
  return not fits(room, mode) and first or nil
end

local function acquire()
  local kind, waits
  claim, ttl, kind, waits = string.match(text, '^(%S+) (%d+) (%-?%d+) (%d)')
  lone = {}
  local free, foremost = true, true
  for at, its in ipairs(redis.call('MGET', unpack(KEYS, from, to))) do
    local i = from + at - 1
    if its then
      local name, number = alone(its)
      if name == claim then
        redis.call('SET', KEYS[i], text .. number, 'PX', ttl)
        return number
      end
      lone[i], free, foremost = its, false, false
    else
      local name = redis.call('ZRANGE', KEYS[i], '0', '0')[1]
      free, foremost = free and not name, foremost and name == claim
    end
  end
  if free and from == to then
    local number = count()
    redis.call('SET', KEYS[from], text .. number, 'PX', ttl)
    return number
  end
  if free then return enter() end
  local found = foremost and redis.call('GET', claim)
  local name, number = whose(found or '')
  if name == claim then return stay(number) end

  -- The queues that others are in.
  local mine = look(claim)
  for i = from, to do
    if mine and (lone[i] or not redis.call('ZSCORE', KEYS[i], claim)) then mine = nil end
  end
  local mode, skips = tonumber(kind), not mine and waits ~= '1'
  local lapsed, first = {}, nil
  for i = from, to do
    local lasts = lapse(i, mine, mode, skips, lapsed)
    if lasts then
      if skips then return { lasts } end
      first = math.min(first or math.huge, lasts)
    end
  end
  for _, dead in ipairs(lapsed) do
    redis.call('ZREM', dead[1], dead[2])
  end
  number = mine and stay(mine.number) or enter()
  return first and { first, number } or number
end

for i, its, first, final in claims() do
  text, from, to = its, first, final
  local found = answers[i] or answer(acquire)
  answers[i] = tonumber(found) or found
end
if last > before then redis.call('SET', counter, string.format('%d', last)) end
return answers
