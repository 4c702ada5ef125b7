-- Change what is given of a user ($1 id, then email, name, isActive, each after whether it is given).
UPDATE public."User" SET
    "email" = CASE WHEN $2 THEN $3 ELSE "email" END,
    "name" = CASE WHEN $4 THEN $5 ELSE "name" END,
    "isActive" = CASE WHEN $6 THEN $7 ELSE "isActive" END,
    "updatedAt" = now() AT TIME ZONE 'UTC'
WHERE "id" = $1
RETURNING "id"
