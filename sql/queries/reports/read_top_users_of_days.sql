-- Users by credits used, most first, in some days ($1 from, $2 before, $3 operation type or null, $4 how many).
SELECT user_id, sum(uses)::bigint AS uses, sum(credits)::bigint AS credits
FROM (
    SELECT user_id, uses, credits
    FROM pedro_ledger.usage_by_user_day
    WHERE day >= $1 AND day < $2 AND ($3::text IS NULL OR operation_type = $3)
    UNION ALL
    SELECT used.user_id, 1, used.credits
    FROM pedro_ledger.usage_pending, unnest(user_ids, user_credits) AS used (user_id, credits)
    WHERE day >= $1 AND day < $2 AND ($3::text IS NULL OR operation_type = $3)
) AS usage
GROUP BY user_id
ORDER BY credits DESC, user_id
LIMIT $4
