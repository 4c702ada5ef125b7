-- Note a delivery that could not be applied ($1 provider, $2 event id, $3 type, $4 subject, $5 when it happened).
-- $6 state, $7 reason, $8 detail, $9 payload. No row where it was applied meanwhile.
INSERT INTO pedro_ledger.webhook_delivery AS known
    (provider, event_id, event_type, subject, occurred_at, state, reason, detail, payload, next_try_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, now() + interval '5 seconds')
ON CONFLICT (provider, event_id) DO UPDATE SET state = excluded.state, reason = excluded.reason, detail = excluded.detail
WHERE known.state = 'pending'
RETURNING user_id, xmax <> 0 AS is_repeat
