-- Accounts before their first entry ($1 users, $2 tags, $3 balances); those that another replica opened first are left out.
-- A trigger starts each with the plan of its user, under a lock that an event of the moment waits for.
INSERT INTO pedro_ledger.account (user_id, tag, balance_id)
SELECT asked.user_id, asked.tag, asked.balance_id
FROM unnest($1::text[], $2::text[], $3::text[]) AS asked (user_id, tag, balance_id)
WHERE set_config('pedro_ledger.writer', 'on', true) IS NOT NULL
ORDER BY asked.user_id
ON CONFLICT (user_id) DO NOTHING
RETURNING user_id, coalesce(plan_id, plan_key) AS plan_id
