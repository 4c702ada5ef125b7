-- Schedules whose next period has begun ($1 how many at most, longest first; $2 now); each is put off in case its grant is not made now.
WITH due AS MATERIALIZED (
    SELECT user_id, id, $2::timestamptz - next_at AS late FROM pedro_ledger.recurring_grant
    WHERE ended_at IS NULL AND try_at <= $2
    ORDER BY try_at
    LIMIT $1
    FOR UPDATE SKIP LOCKED
)
UPDATE pedro_ledger.recurring_grant AS r
SET attempts = r.attempts + 1, try_at = $2::timestamptz + least(5 * 2 ^ least(r.attempts, 10), 3600) * interval '1 second'
FROM due
WHERE r.user_id = due.user_id AND r.id = due.id
RETURNING to_jsonb(r), extract(epoch FROM due.late)::float8 AS lag_s
