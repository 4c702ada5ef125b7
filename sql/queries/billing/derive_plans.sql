-- Bring the accounts of Clerk users ($1) to the plans that their events say, in the order in which commits lock accounts.
SELECT pedro_ledger.derive_plan(told.clerk_id)
FROM (
    SELECT DISTINCT asked.clerk_id, "User"."id"
    FROM unnest($1::text[]) AS asked (clerk_id) JOIN public."User" ON "User"."clerkId" = asked.clerk_id
    ORDER BY "User"."id"
) AS told
