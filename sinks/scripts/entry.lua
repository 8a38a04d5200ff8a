-- Closed days and alerts: fields of a hash, each compared by the version in its own JSON.
--
-- KEYS: for each entry its hash and the student's view. Arguments: again; kind (day, alert); unknown_seconds,
-- alert_seconds; items: {field, version, JSON, day before which entries of that hash go} for each entry.
-- Returns a digit for each entry: 1 (applied) or 0 (stale).

local function trim_days(key, oldest)
  for _, day in ipairs(redis.call('HKEYS', key)) do
    if day < oldest then redis.call('HDEL', key, day) end
  end
end

local function trim_alerts(key, oldest)
  local all = redis.call('HGETALL', key)
  for i = 1, #all, 2 do
    local doc = all[i + 1]
    if not doc:find('"state":"opened"', 1, true) and (doc:match('"closed_day":"([%d-]+)"') or '') < oldest then
      redis.call('HDEL', key, all[i])
    end
  end
end

local results = {}
for i, item in ipairs(args.items) do
  local key, view = KEYS[2 * i - 1], KEYS[2 * i]
  local name, version, doc, oldest = unpack(item)
  local held, stands = redis.call('HGET', key, name), standing(view, version)
  results[i] = 0
  if stands ~= 'removed' and accepts(version, version_in(held)) then
    redis.call('HSET', key, name, doc)
    results[i] = 1
  end
  -- Stale ones trim too: then a log that is read again leaves the same behind.
  if args.kind == 'day' then
    trim_days(key, oldest)
  else
    trim_alerts(key, oldest)
  end
  if stands == 'unknown' then
    redis.call('EXPIRE', key, args.unknown_seconds)
  elseif args.kind == 'alert' and results[i] == 1 then
    set_alerts_lifetime(key)
  end
end
return table.concat(results)
