-- Credits that are owed to users, and what the app let them overdraw before the ledger took over.
-- Also how many of them are held, and how many of the free ones end within 7, 30 and 90 days.
WITH ending AS MATERIALIZED (
    SELECT (lot ->> 2)::bigint AS expires_ms, (lot ->> 4)::bigint AS free
    FROM pedro_ledger.account CROSS JOIN LATERAL jsonb_array_elements(account.open_items -> 'l') AS lot
    -- It may be early, never late: nothing that ends within the time is missed.
    WHERE account.due_at < now() + interval '90 days'
),
within AS (
    SELECT coalesce(sum(free) FILTER (WHERE expires_ms < extract(epoch FROM now() + interval '7 days') * 1000), 0)::bigint AS days_7,
        coalesce(sum(free) FILTER (WHERE expires_ms < extract(epoch FROM now() + interval '30 days') * 1000), 0)::bigint AS days_30,
        coalesce(sum(free) FILTER (WHERE expires_ms < extract(epoch FROM now() + interval '90 days') * 1000), 0)::bigint AS days_90
    FROM ending
)
SELECT coalesce(sum(users) FILTER (WHERE band > 0), 0)::bigint AS users,
    coalesce(sum(credits) FILTER (WHERE band > 0), 0)::bigint AS owed,
    (SELECT coalesce(sum(account.held), 0)::bigint FROM pedro_ledger.account WHERE account.due_at IS NOT NULL) AS held,
    coalesce(-sum(credits) FILTER (WHERE band < 0), 0)::bigint AS overdrawn,
    (SELECT days_7 FROM within) AS days_7, (SELECT days_30 FROM within) AS days_30, (SELECT days_90 FROM within) AS days_90
FROM (
    SELECT band, users, credits FROM pedro_ledger.balance_by_band
    UNION ALL
    SELECT band, users, credits FROM pedro_ledger.balance_pending
) AS balance
