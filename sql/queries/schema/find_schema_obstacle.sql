-- The first thing in the app's tables that the daemon's own writes would fail at, and its cure.
SELECT obstacle FROM (
    -- Columns by which the daemon finds one row, or meets another writer of the same row.
    SELECT 1 AS no, format('%I has no unique index on %I: bring the database up to the app''s schema with `prisma migrate deploy`',
        needed."table", needed."column") AS obstacle
    FROM (VALUES ('User', 'id'), ('User', 'clerkId'), ('CreditBalance', 'id'), ('CreditBalance', 'userId'), ('UsageHistory', 'id'))
        AS needed ("table", "column")
    JOIN pg_attribute AS a ON a.attrelid = to_regclass(format('public.%I', needed."table")) AND a.attname = needed."column"
    WHERE NOT EXISTS (
        SELECT FROM pg_index AS i
        WHERE i.indrelid = a.attrelid AND i.indisunique AND i.indisvalid AND i.indpred IS NULL AND i.indnkeyatts = 1
            AND i.indkey[0] = a.attnum)
    UNION ALL
    -- Columns of the app's own are fine, unless a row cannot be written without knowing them.
    SELECT 2, format('%I requires the column %I, which the daemon does not know: give it a default', c.relname, a.attname)
    FROM pg_attribute AS a JOIN pg_class AS c ON c.oid = a.attrelid
    WHERE c.oid IN ('public."User"'::regclass, 'public."CreditBalance"'::regclass, 'public."UsageHistory"'::regclass)
        AND a.attnum > 0 AND NOT a.attisdropped AND a.attnotnull AND NOT a.atthasdef AND a.attidentity = ''
        AND a.attname NOT IN ('id', 'clerkId', 'updatedAt', 'userId', 'clerkUserId', 'creditBalanceId', 'operationType', 'creditsUsed')
) AS found
ORDER BY no, obstacle
LIMIT 1
