-- Mark the user of a Clerk id ($1) as gone; nothing is deleted.
UPDATE public."User" SET "isActive" = false, "updatedAt" = now() AT TIME ZONE 'UTC'
WHERE "clerkId" = $1
RETURNING "id"
