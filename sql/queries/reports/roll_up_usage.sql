-- Move uses from their queue into the rollups, oldest rows first, until they hold $1 uses. Returns how many uses were moved.
WITH taken AS MATERIALIZED (
    DELETE FROM pedro_ledger.usage_pending
    WHERE ctid = ANY (ARRAY (
        SELECT queued.ctid
        FROM (SELECT pending.ctid, uses, sum(uses) OVER (ORDER BY pending.ctid) AS upto FROM pedro_ledger.usage_pending AS pending) AS queued
        WHERE upto - uses < $1))
    RETURNING *
),
used AS MATERIALIZED (
    SELECT used.user_id, taken.day, taken.operation_type, count(*) AS uses, sum(used.credits)::bigint AS credits
    FROM taken, unnest(taken.user_ids, taken.user_credits) AS used (user_id, credits)
    GROUP BY used.user_id, taken.day, taken.operation_type
),
by_user_span AS (
    INSERT INTO pedro_ledger.usage_by_user_span AS total (user_id, days, day, operation_type, uses, credits)
    SELECT user_id, size.days, day - (day - date '0001-01-01') % size.days, operation_type, sum(uses), sum(credits)
    FROM used, (VALUES (1), (7), (28)) AS size (days)
    GROUP BY 1, 2, 3, 4
    ON CONFLICT (user_id, days, day, operation_type)
        DO UPDATE SET uses = total.uses + excluded.uses, credits = total.credits + excluded.credits
),
by_user AS (
    INSERT INTO pedro_ledger.usage_by_user AS total (user_id, operation_type, uses, credits)
    SELECT user_id, coalesce(operation_type, ''), sum(uses), sum(credits)
    FROM used
    GROUP BY GROUPING SETS ((user_id), (user_id, operation_type))
    ON CONFLICT (user_id, operation_type)
        DO UPDATE SET uses = total.uses + excluded.uses, credits = total.credits + excluded.credits
),
by_day AS (
    INSERT INTO pedro_ledger.usage_by_day AS total (day, operation_type, uses, credits)
    SELECT day, operation_type, sum(uses), sum(credits)
    FROM taken
    GROUP BY day, operation_type
    ON CONFLICT (day, operation_type)
        DO UPDATE SET uses = total.uses + excluded.uses, credits = total.credits + excluded.credits
)
SELECT coalesce(sum(uses), 0)::bigint AS uses FROM taken
