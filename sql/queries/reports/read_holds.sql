-- Open holds, what they hold, and since when the oldest is open; and how holds ended on some days ($1 from, $2 before; UTC).
-- Of those days: how many lapsed, what they held then, and what could not be collected.
WITH hold AS MATERIALIZED (
    SELECT (hold ->> 1)::bigint AS at_ms
    FROM pedro_ledger.account CROSS JOIN LATERAL jsonb_array_elements(account.open_items -> 'h') AS hold
    WHERE account.due_at IS NOT NULL
),
told AS MATERIALIZED (
    SELECT outcome, credits FROM pedro_ledger.credit_outcome
    WHERE outcome IN ('lapsed', 'uncollected')
        AND created_at >= $1::timestamp AT TIME ZONE 'UTC' AND created_at < $2::timestamp AT TIME ZONE 'UTC'
)
SELECT (SELECT count(*) FROM hold) AS open,
    (SELECT coalesce(sum(account.held), 0)::bigint FROM pedro_ledger.account WHERE account.due_at IS NOT NULL) AS held,
    (SELECT min(at_ms) FROM hold) AS oldest_ms,
    (SELECT count(*) FROM told WHERE outcome = 'lapsed') AS lapsed,
    (SELECT coalesce(sum(credits), 0)::bigint FROM told WHERE outcome = 'lapsed') AS lapsed_credits,
    (SELECT coalesce(sum(credits), 0)::bigint FROM told WHERE outcome = 'uncollected') AS uncollected
