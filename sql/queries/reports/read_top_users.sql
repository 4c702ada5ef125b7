-- Users by credits used, most first, of all time ($1 operation type or null, $2 how many).
WITH pending AS MATERIALIZED (
    SELECT used.user_id, count(*) AS uses, sum(used.credits)::bigint AS credits
    FROM pedro_ledger.usage_pending, unnest(user_ids, user_credits) AS used (user_id, credits)
    WHERE $1::text IS NULL OR operation_type = $1
    GROUP BY used.user_id
),
settled AS (
    -- In the order of the index, which a join would lose; who is in the queue is counted below.
    SELECT user_id, uses, credits
    FROM pedro_ledger.usage_by_user
    WHERE operation_type = coalesce($1, '') AND user_id NOT IN (SELECT pending.user_id FROM pending)
    ORDER BY credits DESC, user_id
    LIMIT $2
),
moving AS (
    SELECT pending.user_id, pending.uses + coalesce(total.uses, 0) AS uses, pending.credits + coalesce(total.credits, 0) AS credits
    FROM pending
    LEFT JOIN pedro_ledger.usage_by_user AS total
        ON total.user_id = pending.user_id AND total.operation_type = coalesce($1, '')
)
SELECT user_id, uses, credits FROM settled
UNION ALL
SELECT user_id, uses, credits FROM moving
ORDER BY credits DESC, user_id
LIMIT $2
