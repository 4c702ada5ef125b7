-- The ids of the users who have these Clerk ids ($1).
SELECT "clerkId" AS clerk_id, "id" FROM public."User" WHERE "clerkId" = ANY ($1::text[])
