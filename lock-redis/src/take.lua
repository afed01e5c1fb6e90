-- Looks once for each of many claims. KEYS: the queues of each, one claim after the other; then the counter. ARGV: how many
-- queues each has, or nothing if it is one each; then the text of each without its number.
-- Answers for each its token; or a list: in how many milliseconds to look again, and the number of the place if there is one;
-- or an error, which is no other's.

-- The last number that was given, or the one before the first that may be. Below 2^53, as microseconds are until 2255: above
-- it, a number would be rounded. Where the counter is something else everybody who looks fails, and who holds holds on.
local counter, time = KEYS[#KEYS], redis.call('TIME')
local before = tonumber(redis.call('GET', counter) or 0)
if not before or not (before < 2^53) then error('WRONGTYPE the counter is no number') end
before = math.max(before, time[1] * 1000000 + time[2] - 1)
local last, answers, others = before, {}, ARGV[1] ~= ''

-- What servers do all day: a claim wants one queue, and nobody is there. If that is so for all no function is made, which
-- would cost as much as two of them.
if not others then
  -- All names have the same length: where the ttl is in each text.
  local ttl = string.find(ARGV[2], ' ', 1, true) + 1
  for i = 1, #KEYS - 1 do
    local numbered = string.format('%s%d', ARGV[i + 1], last + 1)
    if redis.call('SET', KEYS[i], numbered, 'PX', string.match(numbered, '^%d+', ttl), 'NX') then
      last, answers[i] = last + 1, last + 1
    else
      others = true
    end
  end
  if not others then
    redis.call('SET', counter, string.format('%d', last))
    return answers
  end
end

