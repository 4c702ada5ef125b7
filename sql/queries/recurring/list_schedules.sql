-- The schedules of a user ($1) that run, by id.
SELECT to_jsonb(r) FROM pedro_ledger.recurring_grant AS r WHERE r.user_id = $1 AND r.ended_at IS NULL ORDER BY r.id
