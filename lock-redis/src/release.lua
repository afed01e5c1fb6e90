
-- Removes many claims, or leaves them as remnants, and rings whoever has the turn. A text is a claim's name; if a remnant is to
-- be left, how long, and its name.
-- Answers for each 1, or 0 if there was no claim, or an error, which is no other's.

-- The claim that is removed, what its text says, and where its queues are among the keys.
local claim, mine, from, to, keep, remnant
-- Who is rung, and whether there are remnants.
local freed, rung, met
-- Texts of those who are alone at queues; and what is deleted in one go, which no other claim is or is in.
local texts, gone = {}, {}

local function delete()
  if gone[1] then redis.call('DEL', unpack(gone)) end
  gone = {}
end

-- Finds who has no room on a queue because of this claim. Nobody behind the first that would have none without it either.
-- Remnants may count or not.
local function free(queue, count)
  if texts[queue] then return end
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
    free(KEYS[i], count)
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
  delete()
  local whole = from == to and texts[KEYS[from]]
  if whole and whose(whole) == claim then
    texts[KEYS[from]] = nil
    spread(KEYS[from], whole)
  end
  local text = redis.call('GET', claim)
  if not text then return 0 end

  -- What servers do all day, too. Where there is nobody else, nobody is rung. Where the next one wants this key alone, and no
  -- other, it has its turn, and nobody behind it has one.
  local names = from == to and not remnant and not whole and redis.call('ZRANGE', KEYS[from], '0', '1') or {}
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
    if texts[KEYS[i]] or redis.call('ZREM', KEYS[i], claim) == 0 then held = false end
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

for i, text in ipairs(redis.call('MGET', unpack(KEYS))) do
  texts[KEYS[i]] = text
end

local answers = {}
for i, its, first, final in claims() do
  local queue = KEYS[first]
  local text = first == final and texts[queue]
  -- What servers do all day: it is alone. All names have the same length, and no text has that of a remnant where this does.
  if text and string.find(text, its, 1, true) == 1 then
    texts[queue] = nil
    -- Under its own name there is something only if it was in a queue before that somebody has deleted.
    table.insert(gone, queue)
    table.insert(gone, its)
    answers[i] = 1
  else
    claim, keep, remnant = string.match(its, '^(%S+) (%d+) (%S+)$')
    claim, from, to = claim or its, first, final
    answers[i] = answer(release)
  end
end
delete()
return answers
