-- Rating changes: the last one of each student, and in the same step the stream of changes.
--
-- KEYS: stream, then for each change its key and the student's view. Arguments: again; unknown_seconds, stream_seconds;
-- kept: entries; oldest: time (ms) before which entries go; items: {version, id, JSON, {field, value, ...} of the entry} for
-- each change. Returns a digit for each change: 1 (applied) or 0 (stale).

local stream = KEYS[1]

-- An id at or below the last one is refused: whoever reads the stream has had that change, before Redis lost it.
local function announce(id, fields)
  local sent = redis.pcall('XADD', stream, 'MAXLEN', args.kept, id, unpack(fields))
  if type(sent) == 'table' and sent.err and not sent.err:find('equal or smaller', 1, true) then error(sent.err) end
end

local results = {}
for i, item in ipairs(args.items) do
  local key, view = KEYS[2 * i], KEYS[2 * i + 1]
  local version, id, doc, fields = unpack(item)
  local held, stands = redis.call('HGET', key, 'version'), standing(view, version)
  results[i] = 0
  if stands ~= 'removed' and accepts(version, held) then
    redis.call('HSET', key, 'version', version, 'doc', doc)
    if stands == 'unknown' then redis.call('EXPIRE', key, args.unknown_seconds) end
    if newer(version, held) then announce(id, fields) end
    results[i] = 1
  end
end

local function too_old(entry)
  for i = 1, #entry[2], 2 do
    if entry[2][i] == 'at' then return (tonumber(entry[2][i + 1]) or 0) < args.oldest end
  end
end

local first = redis.call('XRANGE', stream, '-', '+', 'COUNT', 1)[1]
while first and too_old(first) do
  redis.call('XDEL', stream, first[1])
  first = redis.call('XRANGE', stream, '-', '+', 'COUNT', 1)[1]
end
redis.call('EXPIRE', stream, args.stream_seconds)
return table.concat(results)
