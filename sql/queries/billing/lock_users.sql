-- Lock the user of a Clerk id ($1) and whoever has an email ($2), in one order whoever asks: two that swap addresses wait, not in a circle.
SELECT "id" FROM public."User" WHERE "clerkId" = $1 OR "email" = $2 ORDER BY "id" FOR UPDATE
