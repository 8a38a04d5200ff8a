-- Rows, roster entries and removals of students: the view, and in the same step the lists by department and course.
--
-- KEYS: views. Arguments: again; tombstone_seconds, unknown_seconds, alert_seconds; rating, days, alerts: templates of a
-- student's other keys; department, course: {template, codes}; items: {kind (row, roster, removed), version, student,
-- {field, value, ...}} for each view (the document of a row last). Returns a digit for each view: 2 (a row with a new
-- activity was applied), 1 (applied) or 0 (stale).

local RATINGS = {'high', 'good', 'partial', 'low', 'very_low', 'not_rated'}

local function move(index, student, was, was_rating, is, is_rating)
  if was == is and was_rating == is_rating and not args.again then return end
  if is then
    redis.call('SADD', index.template:format(is, is_rating), student)
    redis.call('SADD', index.codes, is)
  end
  if was and not (was == is and was_rating == is_rating) then
    redis.call('SREM', index.template:format(was, was_rating), student)
    for _, rating in ipairs(RATINGS) do
      if redis.call('EXISTS', index.template:format(was, rating)) == 1 then return end
    end
    redis.call('SREM', index.codes, was)
  end
end

-- Under which department, course and rating a view is listed; nothing if it is not.
local function place(view)
  local head = redis.call('HMGET', view, 'version', 'removed', 'roster', 'department', 'course', 'rating', 'enrolled')
  local held = {version = head[1], removed = head[2], roster = head[3], enrolled = head[7]}
  if head[1] and not head[2] then
    held.rating = head[6] or 'not_rated'
    if head[4] and head[4] ~= '' then held.department = head[4] end
    if head[5] and head[5] ~= '' then held.course = head[5] end
  end
  return held
end

-- Drops a student's other records that belong to an enrolment that was removed: all of a version that `is_former`.
local function forget(student, is_former)
  local rating = args.rating:format(student)
  local version = redis.call('HGET', rating, 'version')
  if version and is_former(version) then redis.call('DEL', rating) end
  for _, key in ipairs({args.days:format(student), args.alerts:format(student)}) do
    local all = redis.call('HGETALL', key)
    for i = 1, #all, 2 do
      if is_former(version_in(all[i + 1])) then redis.call('HDEL', key, all[i]) end
    end
  end
end

-- What waited for the view waits no longer.
local function keep(student)
  redis.call('PERSIST', args.rating:format(student))
  redis.call('PERSIST', args.days:format(student))
  set_alerts_lifetime(args.alerts:format(student))
end

-- When the broker took the last activity: a row is also written when a day closes.
local function recorded_at(doc)
  return doc and doc:match('"recorded_at":"([^"]+)"')
end

local function put_row(view, student, version, fields, held)
  if not accepts(version, held.version) or (held.removed and version == held.version) then return false end
  local is_new = recorded_at(fields[#fields]) ~= recorded_at(redis.call('HGET', view, 'doc'))
  redis.call('HSET', view, 'version', version, unpack(fields))
  if not held.version or held.removed then
    redis.call('HDEL', view, 'removed')
    redis.call('PERSIST', view)
  end
  local enrolled = redis.call('HGET', view, 'enrolled')
  if enrolled ~= held.enrolled or held.removed then
    forget(student, function(other) return newer(enrolled, other) end)
    keep(student)
  end
  return true, is_new
end

local function put_roster(view, version, fields, held)
  if not accepts(version, held.roster) then return false end
  if held.removed and not newer(version, held.version) then return false end
  redis.call('HSET', view, 'roster', version, unpack(fields))
  if not held.version then redis.call('EXPIRE', view, args.unknown_seconds) end
  return true
end

local function remove(view, student, version, held)
  if not newer(version, held.version) then return false end
  -- A roster entry that came after the removal: the student is back, only the row has not come yet.
  local back = held.roster and newer(held.roster, version) and redis.call('HMGET', view, 'roster', 'department', 'course')
  redis.call('DEL', view)
  forget(student, function(other) return not newer(other, version) end)
  for _, key in ipairs({args.rating, args.days, args.alerts}) do
    redis.call('EXPIRE', key:format(student), args.unknown_seconds)
  end
  redis.call('HSET', view, 'version', version, 'removed', '1')
  if back then redis.call('HSET', view, 'roster', back[1], 'department', back[2] or '', 'course', back[3] or '') end
  redis.call('EXPIRE', view, args.tombstone_seconds)
  return true
end

local results = {}
for i, view in ipairs(KEYS) do
  local kind, version, student, fields = unpack(args.items[i])
  local held, applied, is_new = place(view), false, false
  if kind == 'row' then
    applied, is_new = put_row(view, student, version, fields, held)
  elseif kind == 'roster' then
    applied = put_roster(view, version, fields, held)
  else
    applied = remove(view, student, version, held)
  end
  if applied then
    local now = place(view)
    move(args.department, student, held.department, held.rating, now.department, now.rating)
    move(args.course, student, held.course, held.rating, now.course, now.rating)
  end
  results[i] = is_new and 2 or applied and 1 or 0
end
return table.concat(results)
