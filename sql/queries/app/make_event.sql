-- Append a subscription event ($1 id, $2 clerkUserId, $3 planKey, $4 status, $5 eventType, $6 occurredAt or null for now, $7 metadata).
INSERT INTO public."SubscriptionEvent" ("id", "userId", "clerkUserId", "planKey", "status", "eventType", "occurredAt", "metadata", "createdAt")
VALUES ($1, (SELECT "User"."id" FROM public."User" WHERE "User"."clerkId" = $2), $2, $3, $4, $5,
    coalesce($6, now() AT TIME ZONE 'UTC'), $7::jsonb, now() AT TIME ZONE 'UTC')
RETURNING to_jsonb("SubscriptionEvent")::text
