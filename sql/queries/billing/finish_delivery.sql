-- The periods of a delivery ($1 provider, $2 event id) were tried: $3 state, $4 reason, $5 detail. No row where it is done with already.
UPDATE pedro_ledger.webhook_delivery
SET state = $3, reason = $4, detail = $5, payload = CASE WHEN $3 = 'pending' THEN payload END
WHERE provider = $1 AND event_id = $2 AND state = 'pending'
RETURNING state, reason, detail
