-- Renews many claims. KEYS: claim... ARGV: ttl...
-- Answers a lease for each, or 0 for one that is lost. What goes wrong with one must not stop the others.

-- Whether a claim is there, and in all its queues.
local function renewed(name, ttl)
  local fine, claim = pcall(parse, try('GET', name))
  if not fine or not claim then return false end
  for queue in string.gmatch(claim.queues, '[^\n]+') do
    if not try('ZSCORE', queue, name) then return false end
  end
  redis.call('PEXPIRE', name, ttl)
  for queue in string.gmatch(claim.queues, '[^\n]+') do
    redis.call('PEXPIRE', queue, ttl, 'GT')
  end
  return true
end

local leases = {}
for i, claim in ipairs(KEYS) do
  leases[i] = renewed(claim, ARGV[i]) and ARGV[i] or 0
end
return leases
