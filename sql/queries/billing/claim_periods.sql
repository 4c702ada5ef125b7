-- Billing periods whose credits are owed and due ($1 how many at most); each is put off in case it must wait on.
UPDATE pedro_ledger.plan_period AS p
SET attempts = p.attempts + 1, next_try_at = now() + least(5 * 2 ^ least(p.attempts, 10), 3600) * interval '1 second'
WHERE (p.user_id, p.provider, p.subscription_id, p.period) IN (
    SELECT user_id, provider, subscription_id, period FROM pedro_ledger.plan_period
    WHERE is_owed AND next_try_at <= now()
    ORDER BY next_try_at
    LIMIT $1
    FOR UPDATE SKIP LOCKED
)
RETURNING p.user_id, p.provider, p.subscription_id, p.period
