-- A user whom the app removed while the ledger was out of use has history: an inactive row without a name keeps it.
INSERT INTO public."User" ("id", "clerkId", "isActive", "updatedAt")
SELECT account.user_id, 'removed_' || account.user_id, false, now() AT TIME ZONE 'UTC'
FROM pedro_ledger.account
WHERE NOT EXISTS (SELECT FROM public."User" AS u WHERE u."id" = account.user_id)
