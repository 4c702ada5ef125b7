-- Open holds, the credits that they hold, and for how long the oldest is open, in seconds.
SELECT (SELECT count(*) FROM pedro_ledger.account CROSS JOIN LATERAL jsonb_array_elements(account.open_items -> 'h')
        WHERE account.due_at IS NOT NULL)::bigint AS holds,
    coalesce(sum(account.held), 0)::bigint AS credits,
    coalesce((SELECT extract(epoch FROM clock_timestamp()) - min((hold ->> 1)::bigint) / 1000.0
              FROM pedro_ledger.account AS a CROSS JOIN LATERAL jsonb_array_elements(a.open_items -> 'h') AS hold
              WHERE a.due_at IS NOT NULL), 0)::float8 AS oldest_s
FROM pedro_ledger.account
WHERE account.due_at IS NOT NULL
