-- Charges by user, operation type and model, and what they would be by other prices ($1 from, $2 before, $3 to $5 below).
-- $3 other feature costs, $4 token prices; $5 rows at most, the largest differences first, each with the sums of all.
-- The captures of a hold are rounded together. What the caller named in credits, and what no other price is given for, stays as it was.
WITH charge AS (
    SELECT entry.user_id, entry.operation_type, entry.effects::jsonb ->> 'model' AS model, entry.effects::jsonb -> 'tokens' AS tokens,
        CASE entry.kind WHEN 'deduct' THEN entry.seq ELSE entry.related_seq END AS work, -entry.credits AS credits,
        entry.price IS NOT NULL AS is_priced
    FROM pedro_ledger.entry
    WHERE entry.created_at >= $1 AND entry.created_at < $2
        AND (entry.kind IN ('deduct', 'capture') OR (entry.kind = 'void' AND entry.effects::jsonb ? 'tokens'))
),
repriced AS (
    SELECT charge.*, price ->> 'minimum' AS minimum,
        (tokens ->> 0)::numeric * (price ->> 'uncachedInput')::numeric
            + (tokens ->> 1)::numeric * coalesce(price ->> 'cachedInput', price ->> 'uncachedInput')::numeric
            + (tokens ->> 2)::numeric * coalesce(price ->> 'cacheWrite', price ->> 'uncachedInput')::numeric
            + (tokens ->> 3)::numeric * (price ->> 'output')::numeric AS micro,
        CASE WHEN tokens IS NULL AND is_priced THEN ($3::jsonb ->> operation_type)::numeric END AS cost
    FROM charge
    CROSS JOIN LATERAL (
        SELECT coalesce($4::jsonb -> operation_type -> model, $4::jsonb -> operation_type -> '*') AS price
    ) AS found
),
work AS (
    SELECT user_id, operation_type, model, sum(credits) AS credits,
        CASE WHEN bool_and(micro IS NOT NULL)
             THEN CASE WHEN sum(micro) = 0 THEN 0 ELSE greatest(ceil(sum(micro) / 1000000), max(coalesce(minimum, '0')::numeric)) END
             ELSE sum(coalesce(cost, credits)) END AS would_be
    FROM repriced
    GROUP BY user_id, operation_type, model, work, tokens IS NULL
),
line AS (
    SELECT user_id, operation_type, model, count(*)::bigint AS operations, sum(credits)::bigint AS credits,
        sum(would_be)::bigint AS would_be
    FROM work
    GROUP BY user_id, operation_type, model
)
SELECT line.*, (sum(credits) OVER ())::bigint AS all_credits, (sum(would_be) OVER ())::bigint AS all_would_be
FROM line
ORDER BY abs(would_be - credits) DESC, user_id, operation_type, model NULLS FIRST
LIMIT $5
