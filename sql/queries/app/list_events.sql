-- Subscription events, newest first: of one Clerk id ($1, null for all), before $2 occurredAt and $3 id, at most $4.
SELECT to_jsonb(event)::text
FROM public."SubscriptionEvent" AS event
WHERE ($1::text IS NULL OR event."clerkUserId" = $1)
    AND ($2::timestamp IS NULL OR (event."occurredAt", event."id") < ($2, $3::text))
ORDER BY event."occurredAt" DESC, event."id" DESC
LIMIT $4
