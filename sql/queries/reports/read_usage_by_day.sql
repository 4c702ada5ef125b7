-- Uses and credits by day and operation type, newest day first ($1 from, $2 before, $3 operation type or null, $4 how many rows).
SELECT day, operation_type, sum(uses)::bigint AS uses, sum(credits)::bigint AS credits
FROM (
    SELECT day, operation_type, uses, credits FROM pedro_ledger.usage_by_day WHERE day >= $1 AND day < $2
    UNION ALL
    SELECT day, operation_type, uses, credits FROM pedro_ledger.usage_pending WHERE day >= $1 AND day < $2
) AS usage
WHERE $3::text IS NULL OR operation_type = $3
GROUP BY day, operation_type
ORDER BY day DESC, operation_type
LIMIT $4
