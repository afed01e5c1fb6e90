-- Renews many claims. KEYS for each: claim, queue... ARGV for each: how many queues, ttl.
-- Answers a lease for each, or 0 for one that is lost. What goes wrong with one must not stop the others.

local texts = redis.call('MGET', unpack(KEYS))

-- Whether the claim at some place among the keys is there, and in all its queues, which are up to another place.
local function renewed(at, to, ttl)
  local claim, whole = KEYS[at], to == at + 1 and texts[to]
  if whole and string.sub(whole, 1, #claim + 1) == claim .. ' ' then
    redis.call('PEXPIRE', KEYS[to], ttl)
    return true
  end
  if not texts[at] or not string.find(texts[at], '^%d+ ') then return false end
  for i = at + 1, to do
    if not try('ZSCORE', KEYS[i], claim) then return false end
  end
  redis.call('PEXPIRE', claim, ttl)
  for i = at + 1, to do
    redis.call('PEXPIRE', KEYS[i], ttl, 'GT')
  end
  return true
end

local leases, at = {}, 1
for i = 1, #ARGV, 2 do
  local to = at + ARGV[i]
  table.insert(leases, renewed(at, to, ARGV[i + 1]) and ARGV[i + 1] or 0)
  at = to + 1
end
return leases
