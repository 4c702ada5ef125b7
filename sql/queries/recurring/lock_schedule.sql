-- A schedule ($1 user, $2 id) in any state, its row locked.
SELECT to_jsonb(r) FROM pedro_ledger.recurring_grant AS r WHERE r.user_id = $1 AND r.id = $2 FOR UPDATE
