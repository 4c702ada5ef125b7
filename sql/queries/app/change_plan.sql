-- Change the columns of a plan ($1) that a JSON object ($2) names. updatedAt is the version of its prices, so it always moves on.
UPDATE public."Plan" AS plan
SET ("asaasId", "clerkId", "clerkName", "name", "credits", "active", "sortOrder", "currency", "priceMonthlyCents",
     "priceYearlyCents", "description", "features", "badge", "highlight", "ctaType", "ctaLabel", "ctaUrl", "billingSource",
     "updatedAt") = (
    SELECT "asaasId", "clerkId", "clerkName", "name", "credits", "active", "sortOrder", "currency", "priceMonthlyCents",
        "priceYearlyCents", "description", "features", "badge", "highlight", "ctaType", "ctaLabel", "ctaUrl", "billingSource",
        greatest(now() AT TIME ZONE 'UTC', plan."updatedAt" + interval '1 millisecond')
    FROM jsonb_populate_record(plan, $2::jsonb))
WHERE plan."id" = $1
RETURNING to_jsonb(plan)::text
