-- Record a subscription event ($1 id, $2 user, $3 Clerk user, $4 plan's key, $5 status, $6 type, $7 when, $8 what was sent).
-- With the plan that it means ($9 id, else $10 its keys and $11 why it is not known; $12 provider).
WITH meant AS (
    INSERT INTO pedro_ledger.event_plan (clerk_id, event_id, plan_id, plan_keys, reason, told_by, recorded_at)
    VALUES ($3, $1, $9, $10, $11, $12, now() AT TIME ZONE 'UTC')
)
INSERT INTO public."SubscriptionEvent" ("id", "userId", "clerkUserId", "planKey", "status", "eventType", "occurredAt", "metadata", "createdAt")
VALUES ($1, $2, $3, $4, $5, $6, $7::timestamptz AT TIME ZONE 'UTC', $8::jsonb, now() AT TIME ZONE 'UTC')
