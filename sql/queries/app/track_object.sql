-- Note a file ($1 id, $2 User.id, $3 provider, $4 url, $5 pathname, $6 name, $7 contentType, $8 bytes); no row where there is no such user.
INSERT INTO public."StorageObject" ("id", "userId", "clerkUserId", "provider", "url", "pathname", "name", "contentType", "size",
    "createdAt", "updatedAt")
SELECT $1, "User"."id", "User"."clerkId", $3, $4, $5, $6, $7, $8, now() AT TIME ZONE 'UTC', now() AT TIME ZONE 'UTC'
FROM public."User" WHERE "User"."id" = $2
RETURNING to_jsonb("StorageObject")::text
