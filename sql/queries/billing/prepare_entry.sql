-- Fix what the ledger is to be asked for a billing period ($1 user, $2 provider, $3 subscription, $4 period).
-- The credits of its plan ($5 id, $6 credits; null while they are not known: $7 reason, $8 detail) and their terms ($9), or how
-- many of them to take back: where they made a lot ($10), what is left of that.
WITH period AS MATERIALIZED (
    SELECT p.*,
        -- What was used since is counted against these credits first, so that as little as possible is taken.
        greatest(0, p.amount - greatest(0, (
            SELECT coalesce(-sum(entry.credits), 0) FROM pedro_ledger.entry
            WHERE entry.user_id = p.user_id AND entry.seq > p.granted_seq AND entry.kind IN ('deduct', 'capture', 'refund')
        ))) AS left_over
    FROM pedro_ledger.plan_period AS p
    WHERE p.user_id = $1 AND p.provider = $2 AND p.subscription_id = $3 AND p.period = $4
)
UPDATE pedro_ledger.plan_period AS p SET
    plan_id = coalesce(p.plan_id, $5),
    amount = coalesce(p.amount, $6),
    terms = CASE WHEN p.step % 2 = 0 AND coalesce(p.amount, $6) IS NOT NULL THEN coalesce(p.terms, $9) END,
    taking = CASE WHEN p.step % 2 = 1 THEN coalesce(p.taking, CASE WHEN $10 THEN p.amount ELSE period.left_over END) END,
    is_asked = coalesce(p.amount, $6) IS NOT NULL,
    reason = CASE WHEN coalesce(p.amount, $6) IS NULL THEN $7 ELSE p.reason END,
    detail = CASE WHEN coalesce(p.amount, $6) IS NULL THEN $8 ELSE p.detail END,
    next_try_at = greatest(p.next_try_at, now() + interval '5 seconds')
FROM period
WHERE p.user_id = $1 AND p.provider = $2 AND p.subscription_id = $3 AND p.period = $4
RETURNING p.step, p.amount, p.taking, p.plan_id, p.terms
