-- Make or change the spend limit $1, unless there are $8 others; `plan` ($7) null is of all users.
INSERT INTO pedro_ledger.spend_limit AS known (id, credits, "window", time_zone, operation_type, on_behalf_of, plan_id)
SELECT $1, $2, $3, $4, $5, $6, $7
WHERE (SELECT count(*) FROM pedro_ledger.spend_limit WHERE id <> $1) < $8
ON CONFLICT (id) DO UPDATE SET credits = excluded.credits, "window" = excluded."window", time_zone = excluded.time_zone,
    operation_type = excluded.operation_type, on_behalf_of = excluded.on_behalf_of, plan_id = excluded.plan_id, updated_at = now()
RETURNING jsonb_build_object('limitId', id, 'credits', credits, 'window', "window", 'timeZone', time_zone,
                             'operationType', operation_type, 'onBehalfOf', on_behalf_of, 'plan', plan_id)::text
