-- The plans that go by the best of some keys ($1, best first; $2 provider; $3 when they were told, or null); two where the key is ambiguous.
-- `key` is what shows the plan in "SubscriptionEvent"."planKey": its name where that names no other plan, else its id.
SELECT plan."id", plan."credits",
    CASE WHEN ARRAY(SELECT pedro_ledger.plans_named(ARRAY[plan."name"], NULL, NULL)) = ARRAY[plan."id"] THEN plan."name" ELSE plan."id" END AS key
FROM pedro_ledger.plans_named($1::text[], $2::text, $3::timestamptz AT TIME ZONE 'UTC') AS named (id)
JOIN public."Plan" AS plan ON plan."id" = named.id
ORDER BY plan."id"
