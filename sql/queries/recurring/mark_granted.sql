-- Period $4 of a schedule ($1 user, $2 id, $3 generation) has its grant ($5 seq); the next is $6, which begins at $7.
-- No row where it was noted before, or periods are counted anew meanwhile.
UPDATE pedro_ledger.recurring_grant SET
    granted_number = $4,
    granted_seq = $5,
    missed = missed + $4 - next_number,
    next_number = $6,
    next_at = $7,
    try_at = $7,
    attempts = 0,
    reason = NULL
WHERE user_id = $1 AND id = $2 AND generation = $3 AND next_number <= $4
RETURNING $4 - (SELECT before.next_number FROM pedro_ledger.recurring_grant AS before WHERE before.user_id = $1 AND before.id = $2) AS missed
