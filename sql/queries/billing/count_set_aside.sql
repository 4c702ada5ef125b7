-- How many deliveries wait, how many were rejected, and how many billing periods are paid and have no credits.
SELECT
    (SELECT count(*) FROM pedro_ledger.webhook_delivery WHERE state = 'pending')
        + (SELECT count(*) FROM pedro_ledger.event_plan WHERE reason = 'plan_ambiguous' AND told_by = 'app') AS waiting,
    (SELECT count(*) FROM pedro_ledger.webhook_delivery WHERE state = 'rejected') AS rejected,
    (SELECT count(*) FROM pedro_ledger.plan_period
     WHERE is_owed AND step % 2 = 0 AND paid_at IS NOT NULL AND refunded_at IS NULL AND (undone_at IS NULL OR paid_at > undone_at)
    ) AS periods_without_credits
