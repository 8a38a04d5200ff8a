-- The step of the sink's progress. It is taken only where the batch was written and nobody has stepped meanwhile.
--
-- KEYS: progress, attempts. Arguments: attempt: the batch's id; steps: {field, progress expected (empty: none), new
-- progress} for each partition. Returns for each partition 1 (taken) or 0.

local results = {}
for i, step in ipairs(args.steps) do
  local name, expected, new = unpack(step)
  local written = redis.call('HGET', KEYS[2], name) == args.attempt
  local taken = written and (redis.call('HGET', KEYS[1], name) or '') == expected
  if taken then redis.call('HSET', KEYS[1], name, new) end
  results[i] = taken and 1 or 0
end
return results
