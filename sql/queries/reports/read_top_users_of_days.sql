-- Users by credits used, most first, in some days ($1 from, $2 before; $6 operation type or null, $7 how many).
-- The same days as spans: $3 how many days the spans have, $4 the first day, $5 before which they end.
SELECT user_id, sum(uses)::bigint AS uses, sum(credits)::bigint AS credits
FROM (
    SELECT span.user_id, span.uses, span.credits
    FROM unnest($3::smallint[], $4::date[], $5::date[]) AS part (days, since, until)
    JOIN pedro_ledger.usage_by_user_span AS span
        ON span.days = part.days AND span.day >= part.since AND span.day < part.until
    WHERE $6::text IS NULL OR span.operation_type = $6
    UNION ALL
    SELECT used.user_id, 1, used.credits
    FROM pedro_ledger.usage_pending, unnest(user_ids, user_credits) AS used (user_id, credits)
    WHERE day >= $1 AND day < $2 AND ($6::text IS NULL OR operation_type = $6)
) AS usage
GROUP BY user_id
ORDER BY credits DESC, user_id
LIMIT $7
