-- Note a billing period ($1 user, $2 provider, $3 subscription, $4 period, $5 plan's keys, $6 start, $7 end), its row locked.
INSERT INTO pedro_ledger.plan_period AS known (user_id, provider, subscription_id, period, plan_keys, starts_at, ends_at)
VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT (user_id, provider, subscription_id, period) DO UPDATE SET
    plan_keys = CASE WHEN excluded.plan_keys = '{}' THEN known.plan_keys ELSE excluded.plan_keys END,
    starts_at = coalesce(known.starts_at, excluded.starts_at),
    ends_at = coalesce(known.ends_at, excluded.ends_at),
    next_try_at = now()
RETURNING paid_at, paid_no, undone_at, undone_no, refunded_at
