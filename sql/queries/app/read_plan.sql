-- One plan.
SELECT to_jsonb(plan)::text FROM public."Plan" AS plan WHERE plan."id" = $1
