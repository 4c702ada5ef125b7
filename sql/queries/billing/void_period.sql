-- Nothing is owed for a billing period any more ($1 user, $2 provider, $3 subscription, $4 period).
-- What was asked of the ledger for it was refused, and it is not paid any more.
UPDATE pedro_ledger.plan_period SET is_asked = false, terms = NULL, reason = NULL, detail = NULL
WHERE user_id = $1 AND provider = $2 AND subscription_id = $3 AND period = $4
