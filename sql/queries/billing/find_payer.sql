-- Who pays: by what the event calls the user ($1, best first), else by Asaas's subscription ($2) or customer ($3) of before.
SELECT payer."id", payer."clerkId"
FROM (
    SELECT "User"."id", "User"."clerkId", told.no AS rank
    FROM unnest($1::text[]) WITH ORDINALITY AS told (name, no)
    JOIN public."User" ON "User"."id" = told.name OR "User"."clerkId" = told.name
    UNION ALL
    SELECT "User"."id", "User"."clerkId", 1000
    FROM pedro_ledger.asaas_subscription AS known JOIN public."User" ON "User"."id" = known.user_id WHERE known.id = $2
    UNION ALL
    SELECT "User"."id", "User"."clerkId", 1001
    FROM pedro_ledger.asaas_subscription AS known JOIN public."User" ON "User"."id" = known.user_id WHERE known.customer_id = $3
) AS payer
ORDER BY payer.rank, payer."id"
LIMIT 1
