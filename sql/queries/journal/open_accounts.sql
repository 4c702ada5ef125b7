-- Accounts before their first entry ($1 users, $2 tags, $3 balances); those that another replica opened first are left out.
INSERT INTO pedro_ledger.account (user_id, tag, balance_id, plan_key)
SELECT asked.user_id, asked.tag, asked.balance_id,
    (SELECT pedro_ledger.plan_of("User"."clerkId") FROM public."User" WHERE "User"."id" = asked.user_id)
FROM unnest($1::text[], $2::text[], $3::text[]) AS asked (user_id, tag, balance_id)
WHERE set_config('pedro_ledger.writer', 'on', true) IS NOT NULL
ORDER BY asked.user_id
ON CONFLICT (user_id) DO NOTHING
RETURNING user_id, plan_key
