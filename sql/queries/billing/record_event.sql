-- Record a subscription event ($1 id, $2 user, $3 Clerk user, $4 plan, $5 status, $6 type, $7 when, $8 what was sent).
INSERT INTO public."SubscriptionEvent" ("id", "userId", "clerkUserId", "planKey", "status", "eventType", "occurredAt", "metadata", "createdAt")
VALUES ($1, $2, $3, $4, $5, $6, $7::timestamptz AT TIME ZONE 'UTC', $8::jsonb, now() AT TIME ZONE 'UTC')
