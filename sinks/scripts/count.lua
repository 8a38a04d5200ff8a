-- How many of a department's students have which official rating.
--
-- KEYS: the department's sets. Arguments: view: template; ratings: what to count. Returns a number for each rating.

local counts, results = {}, {}
for _, set in ipairs(KEYS) do
  for _, student in ipairs(redis.call('SMEMBERS', set)) do
    local rating = redis.call('HGET', args.view:format(student), 'closed_rating')
    if rating then counts[rating] = (counts[rating] or 0) + 1 end
  end
end
for i, rating in ipairs(args.ratings) do results[i] = counts[rating] or 0 end
return results
