-- Who holds rows of the users ($1): the sessions of the transactions that the rows name. A row that several share tells nobody.
SELECT DISTINCT held.pid, activity.application_name, activity.state,
    extract(epoch FROM clock_timestamp() - activity.xact_start)::double precision AS transaction_s, activity.query
FROM (
    SELECT account.xmax FROM pedro_ledger.account WHERE account.user_id = ANY ($1::text[])
    UNION ALL SELECT balance.xmax FROM public."CreditBalance" AS balance WHERE balance."userId" = ANY ($1::text[])
    UNION ALL SELECT "User".xmax FROM public."User" WHERE "User"."id" = ANY ($1::text[])
) AS locked (xid)
JOIN pg_locks AS held ON held.locktype = 'transactionid' AND held.granted AND held.transactionid = locked.xid
LEFT JOIN pg_stat_activity AS activity ON activity.pid = held.pid
WHERE held.pid <> pg_backend_pid()
ORDER BY held.pid
LIMIT 5
