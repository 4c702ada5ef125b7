-- End a schedule ($1 user, $2 id); no row where none runs.
UPDATE pedro_ledger.recurring_grant SET ended_at = clock_timestamp(), updated_at = clock_timestamp()
WHERE user_id = $1 AND id = $2 AND ended_at IS NULL
RETURNING id
