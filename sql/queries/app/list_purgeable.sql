-- Files that were deleted more than $1 days ago, first deleted first, after $2 deletedAt and $3 id, at most $4.
SELECT to_jsonb(object)::text
FROM public."StorageObject" AS object
WHERE object."deletedAt" < (now() AT TIME ZONE 'UTC') - make_interval(days => $1)
    AND ($2::timestamp IS NULL OR (object."deletedAt", object."id") > ($2, $3::text))
ORDER BY object."deletedAt", object."id"
LIMIT $4
