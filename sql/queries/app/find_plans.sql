-- The ids of the plans that a key ($1) names.
SELECT coalesce(array_agg(id), '{}') FROM pedro_ledger.plans_named(ARRAY[$1::text], NULL, NULL) AS named (id)
