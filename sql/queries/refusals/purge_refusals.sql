-- Forget refusals older than $1 days, at most $2 of them.
DELETE FROM pedro_ledger.refusal
WHERE ctid = ANY (ARRAY (
    SELECT ctid FROM pedro_ledger.refusal WHERE created_at < now() - make_interval(days => $1) LIMIT $2
))
RETURNING 1
