-- The grant of the period before, and when that ends ($1 user, $2 provider, $3 subscription, $4 start of the period).
-- No row where none has its credits; a null end where the provider tells none.
SELECT granted_seq, starts_at, ends_at
FROM pedro_ledger.plan_period
WHERE user_id = $1 AND provider = $2 AND subscription_id = $3 AND starts_at < $4 AND step % 2 = 1
ORDER BY starts_at DESC
LIMIT 1
