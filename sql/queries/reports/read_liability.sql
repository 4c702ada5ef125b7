-- Credits that are owed to users, how many of them are held, and what the app let users overdraw before the ledger took over.
SELECT coalesce(sum(users) FILTER (WHERE band > 0), 0)::bigint AS users,
    coalesce(sum(credits) FILTER (WHERE band > 0), 0)::bigint AS owed,
    (SELECT coalesce(sum(account.held), 0)::bigint FROM pedro_ledger.account WHERE account.due_at IS NOT NULL) AS held,
    coalesce(-sum(credits) FILTER (WHERE band < 0), 0)::bigint AS overdrawn
FROM (
    SELECT band, users, credits FROM pedro_ledger.balance_by_band
    UNION ALL
    SELECT band, users, credits FROM pedro_ledger.balance_pending
) AS balance
