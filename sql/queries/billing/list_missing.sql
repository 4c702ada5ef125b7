-- Active users whose Clerk ids are not among those given ($1).
SELECT "User"."clerkId" FROM public."User"
WHERE "User"."isActive" AND NOT EXISTS (SELECT FROM unnest($1::text[]) AS told (clerk_id) WHERE told.clerk_id = "User"."clerkId")
ORDER BY "User"."createdAt", "User"."id"
