-- A page of deliveries, and events of the app, that wait or were rejected ($1 `pending`, `rejected`, or null for both), newest first, before $2 (when) and $3 (id), at most $4.
SELECT jsonb_build_object(
    'id', found.id, 'provider', found.provider, 'eventId', found.event_id, 'eventType', found.event_type, 'subject', found.subject,
    'state', CASE found.state WHEN 'pending' THEN 'waiting' ELSE found.state END, 'reason', found.reason, 'detail', found.detail,
    'userId', found.user_id, 'attempts', found.attempts,
    'nextTryAt', CASE found.state WHEN 'pending' THEN found.next_try_at AT TIME ZONE 'UTC' END,
    'occurredAt', found.occurred_at AT TIME ZONE 'UTC', 'receivedAt', found.received_at AT TIME ZONE 'UTC')::text
FROM (
    SELECT provider || ':' || event_id AS id, provider, event_id, event_type, subject, state, reason, detail, user_id, attempts, next_try_at,
        occurred_at, received_at
    FROM pedro_ledger.webhook_delivery
    WHERE state IN ('pending', 'rejected')
    UNION ALL
    -- What the app recorded itself, and names two plans.
    SELECT 'app:' || event."id", 'app', event."id", event."eventType", event."clerkUserId", 'pending', meant.reason,
        array_to_string(meant.plan_keys, ', ') || ' names two plans: rename one, or name its id.', event."userId", 0, NULL,
        event."occurredAt" AT TIME ZONE 'UTC', meant.recorded_at AT TIME ZONE 'UTC'
    FROM pedro_ledger.event_plan AS meant
    JOIN public."SubscriptionEvent" AS event ON event."clerkUserId" = meant.clerk_id AND event."id" = meant.event_id
    WHERE meant.reason = 'plan_ambiguous' AND meant.told_by = 'app'
) AS found
WHERE ($1::text IS NULL OR found.state = $1)
    AND ($2::timestamp IS NULL OR (found.received_at, found.id) < ($2::timestamp AT TIME ZONE 'UTC', $3::text))
ORDER BY found.received_at DESC, found.id DESC
LIMIT $4
