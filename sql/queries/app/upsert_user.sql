-- Make a user, or bring one up to date, as the app's Clerk webhook does ($1 id, $2 clerkId, $3 email, $4 name, $5 whether email is given, $6 whether name is).
INSERT INTO public."User" ("id", "clerkId", "email", "name", "createdAt", "updatedAt")
VALUES ($1, $2, $3, $4, now() AT TIME ZONE 'UTC', now() AT TIME ZONE 'UTC')
ON CONFLICT ("clerkId") DO UPDATE SET
    "email" = CASE WHEN $5 THEN excluded."email" ELSE "User"."email" END,
    "name" = CASE WHEN $6 THEN excluded."name" ELSE "User"."name" END,
    "isActive" = true,
    "updatedAt" = excluded."updatedAt"
RETURNING "id"
