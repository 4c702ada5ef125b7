-- The plan that a subscription ($1 user, $2 provider, $3 subscription) brought credits of last.
SELECT plan_id FROM pedro_ledger.plan_period
WHERE user_id = $1 AND provider = $2 AND subscription_id = $3 AND plan_id IS NOT NULL
ORDER BY paid_at DESC NULLS LAST, period DESC
LIMIT 1
