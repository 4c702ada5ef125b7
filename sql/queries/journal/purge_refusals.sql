-- Forget refusals older than $1 days, at most $2 of them.
WITH write_guard AS MATERIALIZED (
    SELECT set_config('pedro_ledger.writer', 'on', true) AS writer
)
DELETE FROM pedro_ledger.refusal
WHERE (SELECT writer FROM write_guard) IS NOT NULL AND ctid = ANY (ARRAY (
    SELECT ctid FROM pedro_ledger.refusal WHERE created_at < now() - make_interval(days => $1) LIMIT $2
))
RETURNING 1
