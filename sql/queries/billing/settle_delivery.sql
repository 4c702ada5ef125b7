-- What became of a delivery ($1 provider, $2 event id): $3 state, $4 user, $5 record, $6 payload while it is pending.
UPDATE pedro_ledger.webhook_delivery SET state = $3, user_id = $4, record_id = $5, payload = $6
WHERE provider = $1 AND event_id = $2
