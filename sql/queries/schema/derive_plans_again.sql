-- Bring the accounts of these users ($1) to the plans that their events say now.
SELECT pedro_ledger.derive_plan(told.clerk_id)
FROM (
    SELECT u."clerkId" AS clerk_id
    FROM pedro_ledger.account JOIN public."User" AS u ON u."id" = account.user_id
    WHERE account.user_id = ANY ($1::text[])
        AND (account.plan_key IS NOT NULL OR account.plan_id IS NOT NULL
             OR EXISTS (SELECT FROM public."SubscriptionEvent" AS event WHERE event."clerkUserId" = u."clerkId"))
    ORDER BY account.user_id
) AS told
