-- Why a schedule ($1 user, $2 id) brought no grant: $3.
UPDATE pedro_ledger.recurring_grant SET reason = $3 WHERE user_id = $1 AND id = $2
