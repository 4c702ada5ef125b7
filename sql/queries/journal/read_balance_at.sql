-- Where a user stood at a moment ($1 User.id or null, $2 Clerk id or null, $3 moment), with what tells whether the ledger knows.
SELECT "User"."id" AS user_id, balance."creditsRemaining" AS unadopted_credits,
    coalesce(balance."updatedAt", "User"."updatedAt") AT TIME ZONE 'UTC' AS unadopted_since,
    first.kind AS first_kind, first.created_at AS first_at,
    entry.seq, entry.balance_after, entry.held_after, entry.created_at
FROM public."User"
LEFT JOIN public."CreditBalance" AS balance ON balance."userId" = "User"."id"
LEFT JOIN pedro_ledger.entry AS first ON first.user_id = "User"."id" AND first.seq = 1
LEFT JOIN pedro_ledger.entry ON entry.user_id = "User"."id" AND entry.seq = pedro_ledger.seq_at("User"."id", $3)
WHERE "User"."id" = $1 OR "User"."clerkId" = $2
