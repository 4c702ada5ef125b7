-- Plans by sortOrder and id: those that are active or not ($1, null for both), after $2 sortOrder and $3 id, at most $4.
SELECT to_jsonb(plan)::text
FROM public."Plan" AS plan
WHERE ($1::boolean IS NULL OR plan."active" = $1)
    AND ($2::integer IS NULL OR (plan."sortOrder", plan."id") > ($2, $3::text))
ORDER BY plan."sortOrder", plan."id"
LIMIT $4
