-- The first row of the app's history, newer than its user's ledger, that no entry stands behind.
SELECT usage."userId" AS user_id, usage."id" AS id
FROM public."UsageHistory" AS usage
JOIN pedro_ledger.entry AS opening ON opening.user_id = usage."userId" AND opening.seq = 1
WHERE usage."userId" > $1 AND usage."userId" <= $2
    AND usage."timestamp" > opening.created_at AT TIME ZONE 'UTC'
    AND NOT EXISTS (SELECT FROM pedro_ledger.entry WHERE entry.id = usage."id" AND entry.user_id > $1 AND entry.user_id <= $2)
ORDER BY 1, 2
LIMIT 1
