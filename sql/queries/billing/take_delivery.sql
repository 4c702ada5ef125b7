-- Note a delivery that was not seen before ($1 provider, $2 event id, $3 type, $4 subject, $5 when it happened); no row for a repeat.
INSERT INTO pedro_ledger.webhook_delivery (provider, event_id, event_type, subject, occurred_at, state)
VALUES ($1, $2, $3, $4, $5, 'ignored')
ON CONFLICT (provider, event_id) DO NOTHING
RETURNING 1
