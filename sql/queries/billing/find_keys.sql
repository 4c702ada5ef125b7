-- By which keys the plan of a billing period is to be found ($1 user, $2 provider, $3 subscription, $4 period); no row once it is found.
SELECT plan_keys FROM pedro_ledger.plan_period
WHERE user_id = $1 AND provider = $2 AND subscription_id = $3 AND period = $4 AND amount IS NULL
