-- The entry that a key ($2) of a user ($1) made.
SELECT seq FROM pedro_ledger.entry WHERE user_id = $1 AND idempotency_key = $2
