-- Where a user stands ($1 User.id or null, $2 Clerk id or null); a user without a balance has none to show.
SELECT "User"."id" AS user_id, coalesce(account.posted, balance."creditsRemaining", 0) AS posted,
    coalesce(account.held, 0) AS held, coalesce(account.seq, 0) AS seq,
    coalesce(account.updated_at, balance."updatedAt" AT TIME ZONE 'UTC', "User"."updatedAt" AT TIME ZONE 'UTC') AS updated_at,
    balance."lastSyncedAt" AT TIME ZONE 'UTC' AS last_synced_at,
    CASE WHEN account.open_items <> '{}' THEN to_jsonb(account) END AS open_account
FROM public."User"
LEFT JOIN public."CreditBalance" AS balance ON balance."userId" = "User"."id"
LEFT JOIN pedro_ledger.account ON account.user_id = "User"."id"
WHERE "User"."id" = $1 OR "User"."clerkId" = $2
