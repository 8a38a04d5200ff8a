-- Who is in a department, whatever the rating: each once, though ratings change while others ask.
--
-- KEYS: the department's sets, no student is in two of them. No arguments.

local members = {}
for _, set in ipairs(KEYS) do
  for _, student in ipairs(redis.call('SMEMBERS', set)) do members[#members + 1] = student end
end
return members
