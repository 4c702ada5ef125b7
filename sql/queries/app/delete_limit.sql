-- Delete the spend limit $1.
DELETE FROM pedro_ledger.spend_limit WHERE id = $1
RETURNING jsonb_build_object('limitId', id, 'credits', credits, 'window', "window", 'timeZone', time_zone,
                             'operationType', operation_type, 'onBehalfOf', on_behalf_of, 'plan', plan_id)::text
