-- The model, for the scripts that follow in the same text. Times are milliseconds of the server's wall clock.
--
-- A claim is a hash: number, mode (0 exclusive, -1 shared, n one of n permits), expires, ttl, queues (the names of its
-- queues, joined by line feeds, which no key contains), bell (the channel of its client), tag (what a ring carries),
-- label, arrived; remnant, if a release kept it. A queue is a sorted set of the names of claims, by number. A name without a hash has lapsed, and so
-- has a hash without its name in every queue: somebody deleted a queue, and others hold it by now. As Redis itself does
-- it, a claim lapses when the clock has passed `expires`, not when it gets there: that was rounded down.

local time = redis.call('TIME')
local micros = time[1] * 1000000 + time[2]
local now = math.floor(micros / 1000)

-- The mode and expiry of a claim, and whether it is a remnant; nothing if it has lapsed. One that lies further ahead than its own ttl was written
-- before the server's clock was set back: it is cut to its ttl, or it would last as long as the clock was set.
local function look(name)
  local claim = redis.call('HMGET', name, 'mode', 'expires', 'ttl', 'remnant')
  local expires, ttl = tonumber(claim[2]), tonumber(claim[3])
  if not expires or expires < now then return nil end
  if expires > now + ttl then
    expires = now + ttl
    redis.call('HSET', name, 'expires', expires)
    redis.call('PEXPIRE', name, ttl)
  end
  return tonumber(claim[1]), expires, claim[4]
end

-- What a command answers; nothing if something else than it expects is stored there.
local function try(...)
  local answer = redis.pcall(...)
  if type(answer) ~= 'table' or not answer.err then return answer end
  if string.find(answer.err, 'WRONGTYPE', 1, true) then return nil end
  error(answer)
end

-- Whether a claim is in all its queues.
local function stands(name, queues)
  for queue in string.gmatch(queues, '[^\n]+') do
    if not try('ZSCORE', queue, name) then return false end
  end
  return true
end

-- Keeps a claim until a ttl from now, and its queues at least as long.
local function keep(name, queues, ttl, ...)
  redis.call('HSET', name, 'expires', now + ttl, ...)
  redis.call('PEXPIRE', name, ttl)
  for queue in string.gmatch(queues, '[^\n]+') do
    redis.call('PEXPIRE', queue, ttl, 'GT')
  end
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
