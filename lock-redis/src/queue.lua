-- The model, for the scripts that follow in the same text. Times are milliseconds.
--
-- A claim is a text that expires with it: NUMBER MODE TTL TAG BELL LABEL, and a line for each of its queues. The number
-- is when it came, in microseconds since 1970, or greater than that where others had come by then; the mode 0 for
-- exclusive, -1 for shared, n for one of n permits; the tag what a ring carries; the bell the channel of its client, or a
-- dash for a remnant, which nobody waits for. A queue is a sorted set of the names of claims, by number. A name without
-- a text has lapsed, and so has a text without its name in every queue: somebody deleted a queue, and others hold it.
-- Whoever finds nobody at its only queue is written as one text there, behind its name and a space, which takes one command
-- and is gone in one: most locks nobody ever waits for. The next one to come makes a sorted set of it.

-- What a claim's text says; nothing if there is none.
local function parse(text)
  if not text then return nil end
  local pattern = '^(%d+) (%-?%d+) %d+ (%d+) (%S+) ([^\n]*)\n(.*)$'
  local number, mode, tag, bell, label, queues = string.match(text, pattern)
  if not number then error('WRONGTYPE no claim') end
  return { number = number, mode = tonumber(mode), tag = tag, bell = bell, label = label, queues = queues }
end

local function look(name)
  return parse(redis.call('GET', name))
end

-- The mode of a claim, and how long it lasts yet, by its text and the name of that. One that lasts longer than its own
-- ttl was written before the server's clock was set back: it is cut to its ttl, or it would last as long as the clock was
-- set.
local function remains(text, name)
  local mode, ttl = string.match(text, '^%d+ (%-?%d+) (%d+) ')
  if not mode then error('WRONGTYPE no claim') end
  local lasts = redis.call('PTTL', name)
  if lasts >= 0 and lasts <= tonumber(ttl) then return tonumber(mode), lasts end
  redis.call('PEXPIRE', name, ttl)
  return tonumber(mode), tonumber(ttl)
end

-- Who is alone at a queue, by what is written there: its name and its text.
local function alone(text)
  local name, its = string.match(text, '^(%S+) (%d+ .*)$')
  if not name then error('WRONGTYPE no queue') end
  return name, its
end

-- Makes room for others at a queue where one is alone.
local function spread(queue, text)
  local name, its = alone(text)
  local left = math.max(redis.call('PTTL', queue), 1)
  redis.call('DEL', queue)
  redis.call('SET', name, its, 'PX', left)
  redis.call('ZADD', queue, string.match(its, '^%d+'), name)
  redis.call('PEXPIRE', queue, left)
end

-- What a command answers; nothing if something else than it expects is stored there.
local function try(...)
  local answer = redis.pcall(...)
  if type(answer) ~= 'table' or not answer.err then return answer end
  if string.find(answer.err, 'WRONGTYPE', 1, true) then return nil end
  error(answer)
end

-- The room rule: who has room behind whom.
local function fits(room, mode)
  if mode == 0 then return not room.alone and not room.shared and room.permits == 0 end
  if mode == -1 then return not room.alone and room.permits == 0 end
  return not room.alone and not room.shared and room.permits < math.min(mode, room.of)
end

local function empty()
  return { alone = false, shared = false, permits = 0, of = math.huge }
end

local function add(room, mode)
  if mode == 0 then
    room.alone = true
  elseif mode == -1 then
    room.shared = true
  else
    room.permits = room.permits + 1
    room.of = math.min(room.of, mode)
  end
end

-- What a step for one claim of many answers. What goes wrong with it must not stop the others.
local function answer(step)
  local fine, answer = pcall(step)
  if fine then return answer end
  return type(answer) == 'table' and answer or { err = 'ERR ' .. tostring(answer) }
end
