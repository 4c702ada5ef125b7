-- Deliveries that wait and are due ($1 how many at most), or those that name a user ($2), due or not; each is put off in case it must wait on.
UPDATE pedro_ledger.webhook_delivery AS delivery
SET attempts = delivery.attempts + 1, next_try_at = now() + least(5 * 2 ^ least(delivery.attempts, 10), 3600) * interval '1 second'
WHERE (delivery.provider, delivery.event_id) IN (
    SELECT provider, event_id FROM pedro_ledger.webhook_delivery
    WHERE state = 'pending' AND ($2::text IS NULL AND next_try_at <= now() OR position($2 IN payload) > 0)
    ORDER BY next_try_at
    LIMIT $1
    FOR UPDATE SKIP LOCKED
)
RETURNING delivery.provider, delivery.event_id, delivery.payload, delivery.received_at
