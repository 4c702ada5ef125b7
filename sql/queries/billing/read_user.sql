-- What is kept of the user of a Clerk id ($1).
SELECT "email", "name", "isActive" FROM public."User" WHERE "clerkId" = $1
