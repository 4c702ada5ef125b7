-- What in the app's tables the daemon's own writes fail at: indexes that it needs, and columns that it would have to know.
SELECT needed."table", needed."column", false AS is_required
FROM (VALUES ('User', 'id'), ('User', 'clerkId'), ('CreditBalance', 'id'), ('CreditBalance', 'userId'), ('UsageHistory', 'id'))
    AS needed ("table", "column")
-- Columns by which the daemon finds one row, or meets another writer of the same row.
JOIN pg_class AS c ON c.oid = to_regclass(format('public.%I', needed."table")) AND c.relkind <> 'p'
JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attname = needed."column"
WHERE NOT EXISTS (
    SELECT FROM pg_index AS i
    WHERE i.indrelid = a.attrelid AND i.indisunique AND i.indisvalid AND i.indpred IS NULL AND i.indnkeyatts = 1
        AND i.indkey[0] = a.attnum)
UNION ALL
-- Columns of the app's own are fine, unless a row cannot be written without knowing them.
SELECT written."table", a.attname, true
FROM (VALUES
    ('User', ARRAY ['id', 'clerkId', 'updatedAt']),
    ('CreditBalance', ARRAY ['id', 'userId', 'clerkUserId', 'creditsRemaining', 'updatedAt']),
    ('UsageHistory', ARRAY ['id', 'userId', 'creditBalanceId', 'operationType', 'creditsUsed', 'details', 'timestamp'])
) AS written ("table", "columns")
JOIN pg_attribute AS a ON a.attrelid = to_regclass(format('public.%I', written."table")) AND a.attname <> ALL (written."columns")
JOIN pg_type AS t ON t.oid = a.atttypid
WHERE a.attnum > 0 AND NOT a.attisdropped AND (a.attnotnull OR t.typnotnull) AND NOT a.atthasdef AND t.typdefault IS NULL
    AND a.attidentity = ''
    -- What a trigger of the app's fills before the row is checked (ROW, BEFORE and INSERT are the bits 1, 2 and 4).
    AND NOT EXISTS (
        SELECT FROM pg_trigger AS filler JOIN pg_proc AS p ON p.oid = filler.tgfoid
        WHERE filler.tgrelid = a.attrelid AND NOT filler.tgisinternal AND filler.tgtype & 7 = 7 AND filler.tgenabled <> 'D'
            AND p.pronamespace IS DISTINCT FROM to_regnamespace('pedro_ledger'))
ORDER BY is_required, 1, 2
