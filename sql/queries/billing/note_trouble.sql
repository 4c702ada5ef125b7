-- Why a billing period's entry was not made ($1 user, $2 provider, $3 subscription, $4 period, $5 step): $6 reason, $7 detail.
-- Where the ledger refused it ($8), the plan is looked up again next time: it may have been mended.
UPDATE pedro_ledger.plan_period SET
    reason = $6,
    detail = $7,
    plan_id = CASE WHEN $8 AND step % 2 = 0 THEN NULL ELSE plan_id END,
    amount = CASE WHEN $8 AND step % 2 = 0 THEN NULL ELSE amount END,
    terms = CASE WHEN $8 AND step % 2 = 0 THEN NULL ELSE terms END
WHERE user_id = $1 AND provider = $2 AND subscription_id = $3 AND period = $4 AND step = $5 AND is_owed
