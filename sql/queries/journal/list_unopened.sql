-- Of these users ($1), those without an account: whether each has a balance, and whose balance carries the Clerk id instead.
SELECT "User"."id" AS user_id,
    EXISTS (SELECT FROM public."CreditBalance" AS balance WHERE balance."userId" = "User"."id") AS has_balance,
    (SELECT other."userId" FROM public."CreditBalance" AS other
     WHERE other."clerkUserId" = "User"."clerkId" AND other."userId" <> "User"."id") AS carrier_id
FROM public."User"
WHERE "User"."id" = ANY ($1::text[])
    AND NOT EXISTS (SELECT FROM pedro_ledger.account WHERE account.user_id = "User"."id")
