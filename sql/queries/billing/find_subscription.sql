-- What is known of an Asaas subscription ($1 user, $2 id): the plan's keys and the status.
SELECT plan_keys, status FROM pedro_ledger.asaas_subscription WHERE user_id = $1 AND id = $2
