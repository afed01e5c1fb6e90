
-- The claims that are not alone, or leave a remnant. All of them, if one has several queues.

-- The one that is removed, what its text says, and where its queues are among the keys.
local claim, mine, from, to, keep, remnant
-- Who is rung, and whether there are remnants.
local freed, rung, met
-- The texts of those who are alone at its queues.
local lone

-- Finds who has no room on a queue because of this claim. Nobody behind the first that would have none without it either.
-- Remnants may count or not.
local function free(i, count)
  if lone[i] then return end
  local queue = KEYS[i]
  local with, without, offset, size = empty(), empty(), 0, 2
  local number = tonumber(mine.number)
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

-- Whether a claim that has room on one queue without this one has it on its others, and is there.
local function turn(waiter, its, known, count)
  for queue in string.gmatch(waiter.queues, '[^\n]+') do
    local room = empty()
    if queue ~= known then
      if not try('ZSCORE', queue, its) then return false end
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
  for i = from, to do
    free(i, count)
  end
  for name, its in pairs(freed) do
    if not rung[name] and turn(its[1], name, its[2], count) then
      local waiter, comes = its[1], count and not remnant
      redis.call('PUBLISH', waiter.bell, comes and waiter.tag .. ' ' .. waiter.number or waiter.tag)
      rung[name] = true
    end
  end
end

local function release()
  lone = {}
  for at, text in ipairs(redis.call('MGET', unpack(KEYS, from, to))) do
    if text and whose(text) == claim then
      if not remnant then
        redis.call('DEL', KEYS[from], claim)
        return 1
      end
      spread(KEYS[from], text)
    else
      lone[from + at - 1] = text
    end
  end
  local text = redis.call('GET', claim)
  if not text then return 0 end

  -- Where there is nobody else, nobody is rung. Where the next one wants this key alone, and no
  -- other, it has its turn, and nobody behind it has one.
  local names = from == to and not remnant and not lone[from] and redis.call('ZRANGE', KEYS[from], '0', '1') or {}
  if names[1] == claim then
    if not names[2] then
      redis.call('DEL', claim, KEYS[from])
      return 1
    end
    local waiter = redis.call('GET', names[2]) or ''
    local tag, bell, number = string.match(waiter, '^%S+ %d+ 0 %d (%d+) (%S+) [^\n]*\n(%d+)$')
    if number and bell ~= '-' then
      redis.call('PUBLISH', bell, tag .. ' ' .. number)
      redis.call('ZREM', KEYS[from], claim)
      redis.call('DEL', claim)
      return 1
    end
  end

  mine, rung, met = parse(text), {}, false
  ring(true)
  if met then ring(false) end

  local held = true
  for i = from, to do
    if lone[i] or redis.call('ZREM', KEYS[i], claim) == 0 then held = false end
  end
  redis.call('DEL', claim)
  if not held then return 0 end
  if remnant then
    local words = { remnant, keep, mine.mode, '0', mine.tag, '-', mine.label }
    redis.call('SET', remnant, table.concat(words, ' ') .. '\n' .. mine.queues .. mine.number, 'PX', keep)
    for i = from, to do
      redis.call('ZADD', KEYS[i], mine.number, remnant)
      if redis.call('PEXPIRE', KEYS[i], keep, 'NX') == 0 then redis.call('PEXPIRE', KEYS[i], keep, 'GT') end
    end
  end
  return 1
end

for i, its, first, final in claims() do
  claim, keep, remnant = string.match(its, '^(%S+) (%d+) (%S+)$')
  claim, from, to = claim or its, first, final
  answers[i] = answers[i] or answer(release)
end
return answers
