-- A partition's last closed day.
--
-- KEYS: the partition's key. Arguments: again; version; day; stale: JSON of the feeds that are behind.

if accepts(args.version, redis.call('HGET', KEYS[1], 'version')) then
  redis.call('HSET', KEYS[1], 'version', args.version, 'day', args.day, 'stale', args.stale)
end
