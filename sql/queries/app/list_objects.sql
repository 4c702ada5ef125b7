-- A user's files ($1) that are not deleted, newest first, before $2 createdAt and $3 id, at most $4.
SELECT to_jsonb(object)::text
FROM public."StorageObject" AS object
WHERE object."userId" = $1 AND object."deletedAt" IS NULL
    AND ($2::timestamp IS NULL OR (object."createdAt", object."id") < ($2, $3::text))
ORDER BY object."createdAt" DESC, object."id" DESC
LIMIT $4
