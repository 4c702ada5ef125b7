-- Sum up the history of the next users, at most $1 of them.
-- The row tells the last one, and how many rows were summed up; none is left where it tells no user. The table is there exactly while
-- something is left.
WITH page AS MATERIALIZED (
    SELECT u."id" AS user_id
    FROM public."User" AS u, pedro_ledger.history_summing AS progress
    WHERE u."id" > progress.after_user_id
    ORDER BY u."id"
    LIMIT $1
),
daily AS MATERIALIZED (
    SELECT page.user_id, usage."timestamp"::date AS day, usage."operationType"::text AS operation_type, count(*) AS uses,
        sum(usage."creditsUsed") AS credits
    FROM page JOIN public."UsageHistory" AS usage ON usage."userId" = page.user_id
    GROUP BY 1, 2, 3
),
spans AS (
    INSERT INTO pedro_ledger.usage_by_user_span (user_id, days, day, operation_type, uses, credits)
    SELECT user_id, size.days, day - (day - date '0001-01-01') % size.days, operation_type, sum(uses), sum(credits)
    FROM daily, (VALUES (1), (7), (28)) AS size (days)
    GROUP BY 1, 2, 3, 4
),
users AS (
    INSERT INTO pedro_ledger.usage_by_user (user_id, operation_type, uses, credits)
    SELECT user_id, coalesce(operation_type, ''), sum(uses), sum(credits)
    FROM daily
    GROUP BY GROUPING SETS ((user_id), (user_id, operation_type))
),
days AS (
    INSERT INTO pedro_ledger.usage_by_day AS known (day, operation_type, uses, credits)
    SELECT day, operation_type, sum(uses), sum(credits) FROM daily GROUP BY 1, 2
    ON CONFLICT (day, operation_type) DO UPDATE
    SET uses = known.uses + excluded.uses, credits = known.credits + excluded.credits
),
moved AS (
    UPDATE pedro_ledger.history_summing SET after_user_id = (SELECT max(user_id) FROM page)
    WHERE EXISTS (SELECT FROM page)
)
SELECT (SELECT max(user_id) FROM page) AS after_user_id, (SELECT coalesce(sum(uses), 0)::bigint FROM daily) AS rows
