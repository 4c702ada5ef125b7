-- How many balances are below some levels ($1 levels, each the least balance of a band; $2 how many rows).
SELECT level AS below, coalesce(sum(users), 0)::bigint AS users
FROM unnest($1::integer[]) AS level
LEFT JOIN (
    SELECT band, users FROM pedro_ledger.balance_by_band
    UNION ALL
    SELECT band, users FROM pedro_ledger.balance_pending
) AS balance ON balance.band < level
GROUP BY level
ORDER BY level
LIMIT $2
