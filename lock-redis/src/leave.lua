-- Removes many claims, or leaves them as remnants, and rings whoever has the turn. KEYS: the queues of each, one claim after
-- the other. ARGV: how many queues each has, or nothing if it is one each; then for each its name, and if a remnant is to be
-- left, how long, and the name of that.
-- Answers for each 1, or 0 if there was no claim, or an error, which is no other's.

local answers, others = {}, ARGV[1] ~= ''

-- What servers do all day: a claim is alone at its only queue, and nobody is rung. If that is so for all no function is made,
-- which would cost as much as two of them.
if not others then
  local texts, seen, queues, names = redis.call('MGET', unpack(KEYS)), {}, {}, {}
  for i, queue in ipairs(KEYS) do
    local text, name, n = texts[i], ARGV[i + 1], #queues + 1
    -- All names have the same length, and where a remnant would be named there is something else in the text.
    if text and not seen[queue] and string.find(text, name, 1, true) == 1 then
      seen[queue], queues[n], names[n], answers[i] = true, queue, name, 1
    else
      others = true
    end
  end
  if queues[1] then
    redis.call('DEL', unpack(queues))
    -- Under a name there is something only if it was in a queue before that somebody has deleted.
    redis.call('DEL', unpack(names))
  end
  if not others then return answers end
end

