-- Billing periods whose credits are owed: of a user ($1), or those of anybody that are due ($1 null); $2 how many at most.
SELECT user_id, provider, subscription_id, period FROM pedro_ledger.plan_period
WHERE is_owed AND (user_id = $1 OR ($1::text IS NULL AND next_try_at <= now()))
ORDER BY next_try_at
LIMIT $2
