-- Note the newest news of a billing period ($1 user, $2 provider, $3 subscription, $4 period; $5 paid, $6 its number, $7 undone, $8 its number, $9 refunded).
UPDATE pedro_ledger.plan_period SET paid_at = $5, paid_no = $6, undone_at = $7, undone_no = $8, refunded_at = $9
WHERE user_id = $1 AND provider = $2 AND subscription_id = $3 AND period = $4
RETURNING is_owed
