-- What became of a delivery ($1 provider, $2 event id); its row is locked.
SELECT state, user_id, record_id, reason, detail FROM pedro_ledger.webhook_delivery
WHERE provider = $1 AND event_id = $2
FOR UPDATE
