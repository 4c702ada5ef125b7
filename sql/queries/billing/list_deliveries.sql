-- A page of deliveries that wait or were rejected ($1 `pending`, `rejected`, or null for both), newest first, before $2 (when) and $3 (id), at most $4.
SELECT jsonb_build_object(
    'id', found.id, 'provider', found.provider, 'eventId', found.event_id, 'eventType', found.event_type, 'subject', found.subject,
    'state', CASE found.state WHEN 'pending' THEN 'waiting' ELSE found.state END, 'reason', found.reason, 'detail', found.detail,
    'userId', found.user_id, 'attempts', found.attempts,
    'nextTryAt', CASE found.state WHEN 'pending' THEN found.next_try_at AT TIME ZONE 'UTC' END,
    'occurredAt', found.occurred_at AT TIME ZONE 'UTC', 'receivedAt', found.received_at AT TIME ZONE 'UTC')::text
FROM (SELECT delivery.provider || ':' || delivery.event_id AS id, delivery.* FROM pedro_ledger.webhook_delivery AS delivery) AS found
WHERE found.state IN ('pending', 'rejected') AND ($1::text IS NULL OR found.state = $1)
    AND ($2::timestamp IS NULL OR (found.received_at, found.id) < ($2::timestamp AT TIME ZONE 'UTC', $3::text))
ORDER BY found.received_at DESC, found.id DESC
LIMIT $4
