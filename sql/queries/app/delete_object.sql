-- Mark a file ($1) of its owner ($2) as deleted, unless it is already.
UPDATE public."StorageObject" AS object
SET "deletedAt" = now() AT TIME ZONE 'UTC', "updatedAt" = now() AT TIME ZONE 'UTC'
WHERE object."id" = $1 AND object."userId" = $2 AND object."deletedAt" IS NULL
RETURNING to_jsonb(object)::text
