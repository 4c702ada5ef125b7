-- Move changes of balances from their queue into the rollup, $1 rows of the queue at most. Returns how many.
WITH taken AS MATERIALIZED (
    DELETE FROM pedro_ledger.balance_pending
    WHERE ctid = ANY (ARRAY (SELECT pending.ctid FROM pedro_ledger.balance_pending AS pending LIMIT $1))
    RETURNING *
),
by_band AS (
    INSERT INTO pedro_ledger.balance_by_band AS total (band, users, credits)
    SELECT band, sum(users), sum(credits) FROM taken GROUP BY band
    ON CONFLICT (band) DO UPDATE SET users = total.users + excluded.users, credits = total.credits + excluded.credits
)
SELECT count(*) FROM taken
