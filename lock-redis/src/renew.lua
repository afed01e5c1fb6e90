-- Renews many claims. KEYS: claim... ARGV: ttl...
-- Answers a lease for each, or 0 for one that is lost. What goes wrong with one must not stop the others.

local leases = {}
for i, claim in ipairs(KEYS) do
  local found = try('HMGET', claim, 'expires', 'queues') or {}
  local ttl = tonumber(ARGV[i])
  if tonumber(found[1] or 0) >= now and stands(claim, found[2]) then
    keep(claim, found[2], ttl)
    leases[i] = ttl
  else
    leases[i] = 0
  end
end
return leases
