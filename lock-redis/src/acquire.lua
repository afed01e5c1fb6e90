
-- Looks once for each of many claims. KEYS: the counter; for each claim its name and its queues. ARGV for each claim: how
-- many queues, ttl, its text without the number, mode, waits.
-- Answers for each a token, which is a text; or in how many milliseconds to look again, and the number of the place if
-- there is one; or an error, which is no other's. Numbers are left as texts, which a script is quicker to pass on.

-- The number that was counted last, and whether nobody got it; and the last one that a claim got.
local counter, last, spare, given = KEYS[1], nil, nil, nil
-- The claim that is looked for, and where its queues are among the keys.
local claim, from, to, ttl, text, kind, waits
-- What is written at those where one is alone.
local lone

-- A number greater than all before.
local function count()
  if spare then
    spare = nil
    return last
  end
  if last then
    last = string.format('%d', last + 1)
    return last
  end
  local time, before = redis.call('TIME'), redis.call('GET', counter)
  local number = time[1] .. string.sub('00000' .. time[2], -6)
  if before and (#before ~= #number or before >= number) then
    -- Below 2^53, as microseconds are until 2255: above it, a number would be rounded.
    if not tonumber(before) then error('WRONGTYPE the counter is no number') end
    number = string.format('%d', math.max(before + 1, tonumber(number)))
  end
  last = number
  return number
end

-- Writes a claim and its place in each queue, which is no older than what was there.
local function enter()
  given = count()
  redis.call('SET', claim, given .. ' ' .. text, 'PX', ttl)
  for i = from, to do
    if lone[i] then spread(KEYS[i], lone[i]) end
    redis.call('ZADD', KEYS[i], given, claim)
    if redis.call('PEXPIRE', KEYS[i], ttl, 'NX') == 0 then redis.call('PEXPIRE', KEYS[i], ttl, 'GT') end
  end
  return given
end

-- What is written at a queue where this claim is alone.
local function whole(number)
  return claim .. ' ' .. number .. ' ' .. text
end

-- Keeps a claim and its place until a ttl from now.
local function stay(number)
  redis.call('SET', claim, number .. ' ' .. text, 'PX', ttl)
  for i = from, to do
    redis.call('PEXPIRE', KEYS[i], ttl, 'GT')
  end
  return number
end

-- When claims ahead that conflict first lapse on a queue; nothing if there is room. All of them count, not the one just
-- ahead alone: that one may leave, which rings nobody while a dead one before it has not lapsed. Who skips never looks
-- again, and learns of the first.
local function lapse(i, mine, mode, skips, lapsed)
  local queue, room, first, offset, size = KEYS[i], empty(), math.huge, 0, 1
  if lone[i] then
    local _, its = alone(lone[i])
    local other, lasts = remains(its, queue)
    add(room, other)
    return not fits(room, mode) and lasts or nil
  end
  local below = mine and '(' .. mine.number or '+inf'
  while true do
    local names = redis.call('ZRANGE', queue, below, '-inf', 'BYSCORE', 'REV', 'LIMIT', offset, size)
    for _, name in ipairs(names) do
      local other, lasts = nil, nil
      local its = name ~= claim and redis.call('GET', name)
      if its then other, lasts = remains(its, name) end
      if not other then
        table.insert(lapsed, { queue, name })
      elseif other ~= -1 or mode ~= -1 then
        first = math.min(first, lasts)
        add(room, other)
        if skips and not fits(room, mode) then return first end
      end
    end
    if #names < size then break end
    offset, size = offset + size, 64
  end
  return not fits(room, mode) and first or nil
end

local function acquire()
  -- What servers do all day.
  if from == to then
    local number = count()
    if redis.call('SET', KEYS[from], whole(number), 'PX', ttl, 'NX') then
      given = number
      return number
    end
    spare = true
  end

  lone = {}
  local free, foremost = true, true
  for at, its in ipairs(redis.call('MGET', unpack(KEYS, from, to))) do
    local i = from + at - 1
    if its then
      local name, mine = alone(its)
      if name == claim then
        local number = string.match(mine, '^%d+')
        redis.call('SET', KEYS[i], whole(number), 'PX', ttl)
        return number
      end
      lone[i], free, foremost = its, false, false
    else
      local name = redis.call('ZRANGE', KEYS[i], '0', '0')[1]
      free, foremost = free and not name, foremost and name == claim
    end
  end
  if free then return enter() end
  local found = foremost and redis.call('GET', claim)
  local number = found and string.match(found, '^%d+ ')
  if number then return stay(string.sub(number, 1, -2)) end

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
      if skips then return lasts end
      first = math.min(first or math.huge, lasts)
    end
  end
  number = mine and stay(mine.number)
  if not number then
    for _, dead in ipairs(lapsed) do
      redis.call('ZREM', dead[1], dead[2])
    end
    number = enter()
  end
  return first and { first, number } or number
end

local answers, at = {}, 2
for i = 1, #ARGV, 5 do
  claim, ttl, text, kind, waits = KEYS[at], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3], ARGV[i + 4]
  from, to = at + 1, at + ARGV[i]
  at = to + 1
  table.insert(answers, answer(acquire))
end
if given then redis.call('SET', counter, given) end
return answers
