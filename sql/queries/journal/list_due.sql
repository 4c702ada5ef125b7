-- Accounts on which something has fallen due, longest first, at most $1, and for how long each waits.
SELECT user_id, extract(epoch FROM clock_timestamp() - due_at)::float8 AS lag_s
FROM pedro_ledger.account
WHERE due_at <= clock_timestamp()
ORDER BY due_at
LIMIT $1
