-- Take an email ($1) from whoever else has it, for it belongs to a Clerk user ($2) now.
UPDATE public."User" SET "email" = NULL, "updatedAt" = now() AT TIME ZONE 'UTC'
WHERE "email" = $1 AND "clerkId" <> $2
RETURNING "id"
