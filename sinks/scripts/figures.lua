-- All departments' figures of a closed day, and that they are published.
--
-- KEYS: the day of the published figures; the partitions' keys; the departments' keys. Arguments: day; partitions: how
-- many; seconds: lifetime; figures: {field, value, ...} for each department. Returns whether it was done: not if figures
-- of this day or a later one are there, or if a partition has closed another day while students were counted.

local published = redis.call('GET', KEYS[1])
if published and published >= args.day then return 0 end
for i = 2, args.partitions + 1 do
  if redis.call('HGET', KEYS[i], 'day') ~= args.day then return 0 end
end
for i, figures in ipairs(args.figures) do
  local key = KEYS[args.partitions + 1 + i]
  redis.call('HSET', key, 'day', args.day, unpack(figures))
  redis.call('EXPIRE', key, args.seconds)
end
redis.call('SET', KEYS[1], args.day)
return 1
