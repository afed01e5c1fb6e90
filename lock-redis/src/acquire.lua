
-- The long way, for queues that others are in.

local mine = look(claim)
for i = 3, #KEYS do
  if mine and not redis.call('ZSCORE', KEYS[i], claim) then mine = nil end
end
local mode, skips = tonumber(ARGV[3]), not mine and ARGV[4] ~= '1'
local lapsed = {}

-- When claims ahead that conflict first lapse on a queue; nothing if there is room. All of them count, not the one just
-- ahead alone: that one may leave, which rings nobody while a dead one before it has not lapsed. Who skips never looks
-- again, and learns of the first.
local function lapse(queue)
  local room, first, offset, size = empty(), math.huge, 0, 1
  local from = mine and '(' .. mine.number or '+inf'
  while true do
    local names = redis.call('ZRANGE', queue, from, '-inf', 'BYSCORE', 'REV', 'LIMIT', offset, size)
    for _, name in ipairs(names) do
      local other, lasts = nil, nil
      if name ~= claim then other, lasts = glance(name) end
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

local first = nil
for i = 3, #KEYS do
  local lasts = lapse(KEYS[i])
  if lasts then
    if skips then return lasts end
    first = math.min(first or math.huge, lasts)
  end
end

local number = mine and stay(mine.number)
if not number then
  for _, dead in ipairs(lapsed) do
    redis.call('ZREM', dead[1], dead[2])
  end
  number = enter()
end
return first and { first, number } or number
