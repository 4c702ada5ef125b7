-- Move signups from their queue into the rollup, $1 rows of the queue at most. Returns how many.
WITH taken AS MATERIALIZED (
    DELETE FROM pedro_ledger.signup_pending
    WHERE ctid = ANY (ARRAY (SELECT pending.ctid FROM pedro_ledger.signup_pending AS pending LIMIT $1))
    RETURNING *
),
by_day AS (
    INSERT INTO pedro_ledger.signup_by_day AS total (day, users)
    SELECT day, sum(users) FROM taken GROUP BY day
    ON CONFLICT (day) DO UPDATE SET users = total.users + excluded.users
)
SELECT count(*) FROM taken
