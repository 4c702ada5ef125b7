-- Who holds the tables that a change of the history needs.
SELECT DISTINCT a.pid, coalesce(nullif(a.application_name, ''), a.backend_type) AS program,
    extract(epoch FROM now() - a.xact_start)::integer AS seconds
FROM pg_locks AS l JOIN pg_stat_activity AS a ON a.pid = l.pid
WHERE l.granted AND l.locktype = 'relation' AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
    AND l.relation IN ('public."UsageHistory"'::regclass, 'public."CreditBalance"'::regclass, 'public."User"'::regclass,
                       'pedro_ledger.account'::regclass)
    AND a.pid <> pg_backend_pid() AND a.xact_start < now() - interval '1 second'
ORDER BY seconds DESC
