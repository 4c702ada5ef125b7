-- The spend limits of plans and of all users, by id.
SELECT jsonb_build_object('limitId', id, 'credits', credits, 'window', "window", 'timeZone', time_zone, 'operationType', operation_type,
                          'onBehalfOf', on_behalf_of, 'plan', plan_id)::text
FROM pedro_ledger.spend_limit
ORDER BY id
