-- Keep what an event tells of an Asaas subscription ($1 user, $2 id, $3 customer, $4 plan's keys, $5 status, $6 when, $7 cycle).
-- Older news than what is known says nothing but what was not known at all.
INSERT INTO pedro_ledger.asaas_subscription AS known (user_id, id, customer_id, plan_keys, status, changed_at, cycle)
VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT (user_id, id) DO UPDATE SET
    customer_id = coalesce(excluded.customer_id, known.customer_id),
    plan_keys = excluded.plan_keys,
    status = excluded.status,
    changed_at = excluded.changed_at,
    cycle = coalesce(excluded.cycle, known.cycle)
WHERE excluded.changed_at >= known.changed_at
