-- A partition's last closed day.
--
-- KEYS: day of the published cohort figures, the partition's key, then those of all partitions.
-- Arguments: again; version; day; stale: JSON of the feeds that are behind. Returns the day whose figures can be
-- published, or nothing.

if accepts(args.version, redis.call('HGET', KEYS[2], 'version')) then
  redis.call('HSET', KEYS[2], 'version', args.version, 'day', args.day, 'stale', args.stale)
end

-- Only when all partitions stand at the same day: figures must not mix the close of one day with that of another.
local day = redis.call('HGET', KEYS[2], 'day')
for i = 3, #KEYS do
  if redis.call('HGET', KEYS[i], 'day') ~= day then return false end
end
local published = redis.call('GET', KEYS[1])
if day == '' or (published and day <= published) then return false end
return day
