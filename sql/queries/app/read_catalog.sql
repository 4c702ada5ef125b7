-- Operation types, feature costs, the plans' own costs and the spend limits of plans and of all users.
-- Each has the moment of its last change as its version.
SELECT
    (SELECT array_agg(enumlabel::text ORDER BY enumsortorder) FROM pg_enum
     WHERE enumtypid = 'public."OperationType"'::regtype) AS operation_types,
    (SELECT jsonb_build_object('featureCosts', "featureCosts", 'version', to_char("updatedAt", 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'))
     FROM public."AdminSettings" WHERE "id" = 'singleton')::text AS settings,
    (SELECT jsonb_agg(jsonb_build_object('id', "id", 'name', "name", 'clerkId', "clerkId", 'asaasId', "asaasId", 'clerkName', "clerkName",
                                         'credits', "credits", 'features', "features", 'version', to_char("updatedAt", 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')) ORDER BY "createdAt", "id")
     FROM public."Plan")::text AS plans,
    (SELECT jsonb_agg(jsonb_build_array(id, credits, "window", time_zone, operation_type, on_behalf_of, plan_id) ORDER BY id)
     FROM pedro_ledger.spend_limit)::text AS limits
