-- How many of some students have which official rating.
--
-- KEYS: their views. Arguments: ratings: what to count. Returns a number for each rating.

local counts, results = {}, {}
for _, view in ipairs(KEYS) do
  local rating = redis.call('HGET', view, 'closed_rating')
  if rating then counts[rating] = (counts[rating] or 0) + 1 end
end
for i, rating in ipairs(args.ratings) do results[i] = counts[rating] or 0 end
return results
