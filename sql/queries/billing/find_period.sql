-- The billing period of a subscription item ($1 user, $2 provider, $3 subscription) that starts at $5 and ends at $6, if it is known.
-- The same period is told with starts that differ by milliseconds, across midnight too, so periods that overlap by more than half of
-- the shorter one are the same. Those of the version before have a day ($4 is that of this start) and no times.
SELECT known.period, known.paid_at IS NOT NULL AS is_paid
FROM pedro_ledger.plan_period AS known
WHERE known.user_id = $1 AND known.provider = $2 AND known.subscription_id = $3
    AND CASE
        WHEN known.starts_at IS NULL THEN
            $5::timestamptz >= (known.period || 'T00:00:00Z')::timestamptz - interval '1 hour'
            AND $5 < (known.period || 'T00:00:00Z')::timestamptz + interval '25 hours'
        ELSE least(known.ends_at, $6::timestamptz) - greatest(known.starts_at, $5)
            > least(known.ends_at - known.starts_at, $6 - $5) / 2
    END
ORDER BY known.period = $4 DESC, known.period
LIMIT 1
