-- Events that named no plan, or two, and come to something else now, after $1 (Clerk user) and $2 (event), at most $3.
WITH named AS MATERIALIZED (
    SELECT array_agg(key) AS keys
    FROM public."Plan" AS plan
    CROSS JOIN LATERAL unnest(ARRAY[plan."id", plan."clerkId", plan."asaasId", plan."clerkName", plan."name"]) AS key
    WHERE key IS NOT NULL
)
SELECT unknown.clerk_id, unknown.event_id, meant.plan_id, meant.reason
FROM pedro_ledger.event_plan AS unknown
CROSS JOIN LATERAL pedro_ledger.meant_plan(unknown.plan_keys, unknown.recorded_at) AS meant
WHERE unknown.plan_id IS NULL AND (unknown.plan_keys && (SELECT keys FROM named) OR unknown.reason = 'plan_ambiguous')
    AND (meant.plan_id IS NOT NULL OR meant.reason IS DISTINCT FROM unknown.reason)
    AND (unknown.clerk_id, unknown.event_id) > ($1::text, $2::text)
ORDER BY unknown.clerk_id, unknown.event_id
LIMIT $3
