-- Settle which plan the next events of before mean, at most $1 of them. No row where nothing is left, or another replica is at it.
WITH progress AS MATERIALIZED (
    SELECT after_id FROM pedro_ledger.event_plan_progress WHERE NOT is_done FOR UPDATE SKIP LOCKED
),
page AS MATERIALIZED (
    SELECT event."id", event."clerkUserId", event."createdAt", pedro_ledger.plan_keys_of(event."planKey", event."metadata") AS keys
    FROM public."SubscriptionEvent" AS event, progress
    WHERE event."id" > progress.after_id
    ORDER BY event."id"
    LIMIT $1
),
recorded AS (
    INSERT INTO pedro_ledger.event_plan (clerk_id, event_id, plan_id, plan_keys, reason, recorded_at)
    SELECT page."clerkUserId", page."id", found.plan_id, page.keys, found.reason, page."createdAt"
    FROM page CROSS JOIN LATERAL pedro_ledger.meant_plan(page.keys, page."createdAt") AS found
    ON CONFLICT (clerk_id, event_id) DO NOTHING
    RETURNING reason
)
UPDATE pedro_ledger.event_plan_progress AS known
SET after_id = coalesce((SELECT max("id") FROM page), known.after_id), is_done = (SELECT count(*) < $1 FROM page)
FROM progress
RETURNING (SELECT count(*) FROM page) AS events, (SELECT count(*) FROM recorded WHERE reason = 'plan_ambiguous') AS ambiguous,
    ARRAY(SELECT DISTINCT "clerkUserId" FROM page) AS clerk_ids
