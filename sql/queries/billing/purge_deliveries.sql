-- Forget deliveries older than $1 days, at most $2 of them; tells which of them were never applied.
DELETE FROM pedro_ledger.webhook_delivery
WHERE ctid = ANY (ARRAY (
    SELECT ctid FROM pedro_ledger.webhook_delivery WHERE received_at < now() - make_interval(days => $1) LIMIT $2
))
RETURNING provider, event_id, state, reason
