-- The model, for the scripts that follow in the same text. Times are milliseconds.
--
-- A claim is a text that expires with it: NAME TTL MODE WAITS TAG BELL LABEL, a line for each of its queues if these are
-- several, and its number in the last line. The mode is 0 for exclusive, -1 for shared, n for one of n permits; the tag what
-- a ring carries; the bell the channel of its client, or a dash for a remnant, which nobody waits for; the number when it
-- came, in microseconds since 1970, or greater than that where others had come by then. A queue is a sorted set of the names
-- of claims, by number, and each one's text is under its name. A name without a text has lapsed, and so has a text without
-- its name in every queue: somebody deleted a queue, and others hold it.
-- Of whoever finds nobody at its only queue the text is written there, which takes one command, and is gone in one: most
-- locks nobody ever waits for. The next one to come makes a sorted set of it.

-- The claims that a script is for, one after the other: the how manieth, its text among the arguments, and where its queues
-- are among the keys.
local function claims()
  local many, i, to = {}, 0, 0
  for count in string.gmatch(ARGV[1], '%d+') do
    table.insert(many, tonumber(count))
  end
  return function()
    i = i + 1
    local from = to + 1
    to = to + (many[i] or 1)
    if ARGV[i + 1] then return i, ARGV[i + 1], from, to end
  end
end

-- What a claim's text says; nothing if there is none.
local function parse(text)
  if not text then return nil end
  local pattern = '^%S+ %d+ (%-?%d+) %d (%d+) (%S+) ([^\n]*)\n(.-)(%d+)$'
  local mode, tag, bell, label, queues, number = string.match(text, pattern)
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
  local ttl, mode = string.match(text, '^%S+ (%d+) (%-?%d+) ')
  if not mode then error('WRONGTYPE no claim') end
  local lasts = redis.call('PTTL', name)
  if lasts >= 0 and lasts <= tonumber(ttl) then return tonumber(mode), lasts end
  redis.call('PEXPIRE', name, ttl)
  return tonumber(mode), tonumber(ttl)
end

-- Whose text it is, and its number; nothing if it is no claim's.
local function whose(text)
  return string.match(text, '^(%S+) %d+ %-?%d+ %d %d+ %S+ .*\n(%d+)$')
end

-- Who is alone at a queue, by what is written there.
local function alone(text)
  local name, number = whose(text)
  if not name then error('WRONGTYPE no queue') end
  return name, number
end

-- Makes room for others at a queue where one is alone.
local function spread(queue, text)
  local name, number = alone(text)
  local left = math.max(redis.call('PTTL', queue), 1)
  redis.call('DEL', queue)
  redis.call('SET', name, text, 'PX', left)
  redis.call('ZADD', queue, number, name)
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
