-- Change the columns of a plan ($1) that a JSON object ($2) names.
UPDATE public."Plan" AS plan
SET ("asaasId", "clerkId", "clerkName", "name", "credits", "active", "sortOrder", "currency", "priceMonthlyCents",
     "priceYearlyCents", "description", "features", "badge", "highlight", "ctaType", "ctaLabel", "ctaUrl", "billingSource",
     "updatedAt") = (
    SELECT "asaasId", "clerkId", "clerkName", "name", "credits", "active", "sortOrder", "currency", "priceMonthlyCents",
        "priceYearlyCents", "description", "features", "badge", "highlight", "ctaType", "ctaLabel", "ctaUrl", "billingSource",
        now() AT TIME ZONE 'UTC'
    FROM jsonb_populate_record(plan, $2::jsonb))
WHERE plan."id" = $1
RETURNING to_jsonb(plan)::text
