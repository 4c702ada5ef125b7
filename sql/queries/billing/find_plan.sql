-- The plan that goes by one of some keys ($1, best first); the provider's own key ($2 provider) counts before names.
SELECT plan."id", plan."credits",
    CASE WHEN (SELECT count(*) FROM public."Plan" AS other WHERE other."name" = plan."name") = 1 THEN plan."name" ELSE plan."id" END AS key
FROM unnest($1::text[]) WITH ORDINALITY AS told (name, no)
JOIN public."Plan" AS plan ON told.name IN (plan."id", plan."clerkId", plan."asaasId", plan."clerkName", plan."name")
ORDER BY coalesce(told.name = CASE $2::text WHEN 'clerk' THEN plan."clerkId" ELSE plan."asaasId" END, false) DESC,
    told.no, plan."active" DESC, plan."id"
LIMIT 1
