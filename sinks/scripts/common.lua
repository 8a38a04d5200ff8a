-- What every script begins with: its arguments (one msgpack map) and the comparison of versions.

local args = cmsgpack.unpack(ARGV[1])

-- Versions are decimal strings: as numbers (doubles) in Lua, neighbours above 2^53 would be equal.
-- What is no version (somebody else wrote there) is older than any.
local function is_version(text)
  return text and text ~= '' and not text:find('%D')
end

local function newer(version, held)
  if not is_version(version) then return false end
  if not is_version(held) then return true end
  if #version ~= #held then return #version > #held end
  return version > held
end

-- A rebuild writes the same version again, so that it mends what is wrong under a right version.
local function accepts(version, held)
  return newer(version, held) or (args.again and version == held)
end

-- Whether records of this version belong to a student who is 'present', was 'removed' since, or is 'unknown' (yet).
-- What is older than the present enrolment belongs to one that was removed.
local function standing(view, version)
  local head = redis.call('HMGET', view, 'version', 'removed', 'enrolled')
  if not head[1] then return 'unknown' end
  if head[2] then return newer(version, head[1]) and 'unknown' or 'removed' end
  return newer(head[3] or '0', version) and 'removed' or 'present'
end

-- The version in a record's own JSON.
local function version_in(doc)
  return doc and doc:match('"version":(%d+)')
end

-- Alerts of which none is open end with their time; an open one ends with its spell.
local function set_alerts_lifetime(key)
  for _, doc in ipairs(redis.call('HVALS', key)) do
    if doc:find('"state":"opened"', 1, true) then
      redis.call('PERSIST', key)
      return
    end
  end
  redis.call('EXPIRE', key, args.alert_seconds)
end
