-- Note what happened to a billing period ($1 user, $2 provider, $3 subscription, $4 period, $5 plan's keys; $6 paid, $7 undone, $8 refunded: when, or null).
INSERT INTO pedro_ledger.plan_period AS known
    (user_id, provider, subscription_id, period, plan_keys, paid_at, undone_at, refunded_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
ON CONFLICT (user_id, provider, subscription_id, period) DO UPDATE SET
    plan_keys = CASE WHEN excluded.plan_keys = '{}' THEN known.plan_keys ELSE excluded.plan_keys END,
    paid_at = greatest(known.paid_at, excluded.paid_at),
    undone_at = greatest(known.undone_at, excluded.undone_at),
    refunded_at = greatest(known.refunded_at, excluded.refunded_at),
    next_try_at = now()
RETURNING is_owed
