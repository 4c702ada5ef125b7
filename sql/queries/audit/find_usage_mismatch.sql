-- The first entry of the users in ($1, $2] that the app's history does not show as it is.
SELECT entry.user_id, entry.seq
FROM pedro_ledger.entry
LEFT JOIN public."UsageHistory" AS usage ON usage."id" = entry.id AND usage."userId" = entry.user_id
    AND ($1::text IS NULL OR usage."userId" > $1) AND ($2::text IS NULL OR usage."userId" <= $2)
WHERE ($1::text IS NULL OR entry.user_id > $1) AND ($2::text IS NULL OR entry.user_id <= $2)
    AND entry.kind IN ('deduct', 'refund', 'capture')
    AND ((usage."operationType"::text, usage."creditsUsed", usage."timestamp")
            IS DISTINCT FROM (entry.operation_type, -entry.credits, (entry.created_at AT TIME ZONE 'UTC')::timestamp(3))
        OR usage."details" IS DISTINCT FROM entry.details::jsonb)
ORDER BY entry.user_id, entry.seq
LIMIT 1
