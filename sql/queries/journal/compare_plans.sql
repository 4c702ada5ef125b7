-- Of the users in ($1, $2], those whose account is on another plan than their subscription events say.
-- Events of before are brought up to date in the background; until that is done, who has one that is not yet is left out.
SELECT account.user_id, account.plan_id, said.plan_id AS said_plan_id
FROM pedro_ledger.account
JOIN public."User" AS u ON u."id" = account.user_id
CROSS JOIN LATERAL pedro_ledger.plan_in_force(u."clerkId") AS said
WHERE ($1::text IS NULL OR account.user_id > $1) AND ($2::text IS NULL OR account.user_id <= $2)
    AND (account.plan_id IS NOT NULL OR EXISTS (SELECT FROM public."SubscriptionEvent" AS event WHERE event."clerkUserId" = u."clerkId"))
    AND account.plan_id IS DISTINCT FROM said.plan_id
    AND ((SELECT is_done FROM pedro_ledger.event_plan_progress) OR NOT EXISTS (
        SELECT FROM public."SubscriptionEvent" AS event
        WHERE event."clerkUserId" = u."clerkId" AND NOT EXISTS (
            SELECT FROM pedro_ledger.event_plan AS known WHERE known.clerk_id = event."clerkUserId" AND known.event_id = event."id")))
ORDER BY account.user_id
