-- Credits that expired unused, less what of them rolled over, by month ($1 from, $2 before; UTC) and source of their grant; at most $3.
SELECT date_trunc('month', created_at AT TIME ZONE 'UTC')::date AS month, source,
    sum(CASE outcome WHEN 'expired' THEN credits ELSE -credits END)::bigint AS credits,
    coalesce(sum(credits) FILTER (WHERE outcome = 'rolled_over'), 0)::bigint AS rolled_over
FROM pedro_ledger.credit_outcome
WHERE outcome IN ('expired', 'rolled_over')
    AND created_at >= $1::timestamp AT TIME ZONE 'UTC' AND created_at < $2::timestamp AT TIME ZONE 'UTC'
GROUP BY 1, 2
ORDER BY 1 DESC, 2
LIMIT $3
