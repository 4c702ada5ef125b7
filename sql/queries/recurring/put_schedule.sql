-- Make a schedule of a user ($1 user, $2 id), or change the one of that id; no row where the user has $13 others already.
-- $3 credits, $4 source, $5 priority, $6 rollover, $7 anchor, $8 unit, $9 every, $10 time zone; the next period is $11, which begins at $12.
INSERT INTO pedro_ledger.recurring_grant AS known (user_id, id, credits, source, priority, rollover, anchor, unit, every, time_zone,
    next_number, next_at, try_at)
SELECT $1, $2, $3, $4, $5, $6, $7::timestamptz, $8, $9, $10, $11::integer, $12::timestamptz, $12
WHERE (
    SELECT count(*) FROM pedro_ledger.recurring_grant AS other
    WHERE other.user_id = $1 AND other.id <> $2 AND other.ended_at IS NULL) < $13
ON CONFLICT (user_id, id) DO UPDATE SET
    credits = excluded.credits,
    source = excluded.source,
    priority = excluded.priority,
    rollover = excluded.rollover,
    anchor = excluded.anchor,
    unit = excluded.unit,
    every = excluded.every,
    time_zone = excluded.time_zone,
    generation = known.generation + (
        (known.anchor, known.unit, known.every, known.time_zone)
        IS DISTINCT FROM (excluded.anchor, excluded.unit, excluded.every, excluded.time_zone))::integer,
    granted_number = CASE
        WHEN (known.anchor, known.unit, known.every, known.time_zone)
            IS NOT DISTINCT FROM (excluded.anchor, excluded.unit, excluded.every, excluded.time_zone) THEN known.granted_number END,
    granted_seq = CASE
        WHEN (known.anchor, known.unit, known.every, known.time_zone)
            IS NOT DISTINCT FROM (excluded.anchor, excluded.unit, excluded.every, excluded.time_zone) THEN known.granted_seq END,
    next_number = excluded.next_number,
    next_at = excluded.next_at,
    try_at = excluded.next_at,
    attempts = 0,
    reason = NULL,
    ended_at = NULL,
    updated_at = clock_timestamp()
RETURNING to_jsonb(known)
