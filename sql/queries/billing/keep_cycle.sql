-- Keep how long the periods of an Asaas subscription are ($1 user, $2 id, $3 cycle), where nothing newer told it.
UPDATE pedro_ledger.asaas_subscription SET cycle = $3 WHERE user_id = $1 AND id = $2 AND cycle IS NULL
