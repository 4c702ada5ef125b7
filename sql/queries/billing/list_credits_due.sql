-- Billing periods that are paid and have no credits yet, oldest first, at most $1.
SELECT user_id AS "userId", provider, subscription_id AS subscription, period, reason, detail, attempts, next_try_at AS "nextTryAt",
    paid_at AS "paidAt"
FROM pedro_ledger.plan_period
WHERE is_owed AND step % 2 = 0 AND paid_at IS NOT NULL AND refunded_at IS NULL AND (undone_at IS NULL OR paid_at > undone_at)
ORDER BY paid_at, user_id, provider, subscription_id, period
LIMIT $1
