-- Looks once. KEYS: counter, claim, queue... ARGV: mode, ttl, waits, bell, tag, label
-- Answers {1, token, lease} or {0, retry after}.

local counter, claim = KEYS[1], KEYS[2]
local mode, ttl = tonumber(ARGV[1]), tonumber(ARGV[2])
local queues = table.concat(KEYS, '\n', 3)
local mine = redis.call('HMGET', claim, 'number', 'expires')
local number = tonumber(mine[2] or 0) >= now and stands(claim, queues) and mine[1] or nil
local skips = not number and ARGV[3] ~= '1'
local lapsed = {}

-- When claims ahead that conflict first lapse on a queue; nothing if there is room. All of them count, not the one just
-- ahead alone: that one may leave, which rings nobody while a dead one before it has not lapsed. Who skips never looks
-- again, and learns of the first.
local function lapse(queue)
  local room, first, offset, size = empty(), math.huge, 0, 1
  local from = number and '(' .. number or '+inf'
  while true do
    local names = redis.call('ZRANGE', queue, from, '-inf', 'BYSCORE', 'REV', 'LIMIT', offset, size)
    for _, name in ipairs(names) do
      local other, expires = look(name)
      if not other or name == claim then
        table.insert(lapsed, { queue, name })
      elseif other ~= -1 or mode ~= -1 then
        first = math.min(first, expires)
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
  local expires = lapse(KEYS[i])
  if expires then
    if skips then return { 0, expires - now } end
    first = math.min(first or math.huge, expires)
  end
end

if number then
  keep(claim, queues, ttl, 'bell', ARGV[4])
else
  local last = tonumber(redis.call('GET', counter) or 0)
  if not last then return redis.error_reply('WRONGTYPE the counter is no number') end
  for _, dead in ipairs(lapsed) do
    redis.call('ZREM', dead[1], dead[2])
  end
  -- Strings and comparisons only: a number above 2^53 would be rounded, and microseconds stay below it until 2255.
  number = string.format('%.0f', math.max(last + 1, micros))
  redis.call('SET', counter, number)
  redis.call('HSET', claim, 'number', number, 'mode', mode, 'expires', now + ttl, 'ttl', ttl, 'queues', queues,
    'bell', ARGV[4], 'tag', ARGV[5], 'label', ARGV[6], 'arrived', string.format('%.0f', micros))
  redis.call('PEXPIRE', claim, ttl)
  for i = 3, #KEYS do
    redis.call('ZADD', KEYS[i], number, claim)
    if redis.call('PEXPIRE', KEYS[i], ttl, 'NX') == 0 then redis.call('PEXPIRE', KEYS[i], ttl, 'GT') end
  end
end
if first then return { 0, first - now } end
return { 1, number, ttl }
