-- One file ($1) of its owner ($2), unless it is deleted.
SELECT to_jsonb(object)::text
FROM public."StorageObject" AS object
WHERE object."id" = $1 AND object."userId" = $2 AND object."deletedAt" IS NULL
