-- The ledger has the entry of a billing period's step ($1 user, $2 provider, $3 subscription, $4 period, $5 step): $6 its seq, $7 its credits.
UPDATE pedro_ledger.plan_period SET
    step = step + 1,
    granted_seq = CASE WHEN step % 2 = 0 THEN $6 ELSE granted_seq END,
    amount = $7,
    taking = NULL,
    terms = NULL,
    is_asked = false,
    reason = NULL,
    detail = NULL,
    attempts = 0,
    next_try_at = now()
WHERE user_id = $1 AND provider = $2 AND subscription_id = $3 AND period = $4 AND step = $5
RETURNING is_owed
