-- Of the users in ($1, $2], the first entry that the app's history does not show, and the first of its rows with no entry behind it.
-- A row counts if it is newer than its user's ledger, and was not written by the app while the ledger was out of use.
SELECT DISTINCT ON (is_invented) coalesce(entry.user_id, usage.user_id) AS user_id, entry.seq, entry.id IS NULL AS is_invented
FROM (
    SELECT id, user_id, seq, operation_type, -credits AS used, (created_at AT TIME ZONE 'UTC')::timestamp(3) AS at,
        CASE WHEN kind = 'capture' AND details IS NULL THEN (
            SELECT hold.details FROM pedro_ledger.entry AS hold WHERE hold.user_id = entry.user_id AND hold.seq = entry.related_seq
        ) ELSE details END AS details
    FROM pedro_ledger.entry
    WHERE ($1::text IS NULL OR user_id > $1) AND ($2::text IS NULL OR user_id <= $2)
        AND (kind IN ('deduct', 'refund') OR (kind = 'capture' AND credits <> 0))
) AS entry
FULL JOIN (
    SELECT "id" AS id, "userId" AS user_id, "operationType"::text AS operation_type, "creditsUsed" AS used, "timestamp" AS at,
        "details" AS details
    FROM public."UsageHistory"
    WHERE ($1::text IS NULL OR "userId" > $1) AND ($2::text IS NULL OR "userId" <= $2)
) AS usage ON usage.id = entry.id
WHERE CASE WHEN entry.id IS NULL
    THEN usage.at > (SELECT opening.created_at AT TIME ZONE 'UTC' FROM pedro_ledger.entry AS opening
                     WHERE opening.user_id = usage.user_id AND opening.seq = 1)
        AND NOT EXISTS (SELECT FROM pedro_ledger.usage_while_away AS away WHERE away.user_id = usage.user_id AND away.usage_id = usage.id)
    ELSE (entry.user_id, entry.operation_type, entry.used, entry.at)
            IS DISTINCT FROM (usage.user_id, usage.operation_type, usage.used, usage.at)
        OR usage.details IS DISTINCT FROM entry.details::jsonb
    END
ORDER BY is_invented, 1, entry.seq, usage.at
