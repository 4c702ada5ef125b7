-- An empty balance for each of these users that has none ($1 users, $2 ids for the new balances).
INSERT INTO public."CreditBalance" ("id", "userId", "clerkUserId", "creditsRemaining", "lastSyncedAt", "createdAt", "updatedAt")
SELECT asked.balance_id, "User"."id", "User"."clerkId", 0, now() AT TIME ZONE 'UTC', now() AT TIME ZONE 'UTC', now() AT TIME ZONE 'UTC'
FROM unnest($1::text[], $2::text[]) AS asked (user_id, balance_id)
JOIN public."User" ON "User"."id" = asked.user_id
WHERE NOT EXISTS (SELECT FROM public."CreditBalance" AS balance WHERE balance."userId" = asked.user_id)
ON CONFLICT DO NOTHING
