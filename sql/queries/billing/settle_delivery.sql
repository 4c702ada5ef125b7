-- What became of a delivery ($1 provider, $2 event id): $3 state, $4 user, $5 record, $6 payload unless it is done with, $7 reason, $8 detail.
-- One whose periods are only tried again ($9) keeps the reason that it had meanwhile.
UPDATE pedro_ledger.webhook_delivery
SET state = $3, user_id = $4, record_id = $5, payload = $6,
    reason = CASE WHEN $9 THEN coalesce(reason, $7) ELSE $7 END,
    detail = CASE WHEN $9 AND reason IS NOT NULL THEN detail ELSE $8 END,
    next_try_at = greatest(next_try_at, now() + interval '5 seconds') -- whoever took it goes on with it for now
WHERE provider = $1 AND event_id = $2
