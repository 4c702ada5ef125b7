-- Give a new user ($1 id, $2 Clerk id) the subscription events that came before the user did.
UPDATE public."SubscriptionEvent" SET "userId" = $1
WHERE "clerkUserId" = $2 AND "userId" IS NULL
