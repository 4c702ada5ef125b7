-- The id of a user by User.id ($1) or by Clerk id ($2).
SELECT "id" FROM public."User" WHERE "id" = $1 OR "clerkId" = $2
