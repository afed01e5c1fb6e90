-- Renews many claims. KEYS: the queues of each, one claim after the other. ARGV: how many queues each has, or nothing if it is
-- one each; then for each its name and its ttl.
-- Answers a lease for each, or 0 for one that is lost. What goes wrong with one must not stop the others.

local texts = redis.call('MGET', unpack(KEYS))

-- Whether a claim is there, and in all its queues.
local function renewed(claim, ttl, from, to)
  local function is(text)
    return text and whose(text) == claim
  end
  if from == to and is(texts[from]) then
    redis.call('PEXPIRE', KEYS[from], ttl)
    return true
  end
  if not is(try('GET', claim)) then return false end
  for i = from, to do
    if not try('ZSCORE', KEYS[i], claim) then return false end
  end
  redis.call('PEXPIRE', claim, ttl)
  for i = from, to do
    redis.call('PEXPIRE', KEYS[i], ttl, 'GT')
  end
  return true
end

local leases = {}
for i, text, from, to in claims() do
  local claim, ttl = string.match(text, '^(%S+) (%d+)$')
  leases[i] = renewed(claim, ttl, from, to) and tonumber(ttl) or 0
end
return leases
