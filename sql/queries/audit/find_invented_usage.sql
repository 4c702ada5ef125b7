-- The first row of the app's history, newer than its user's ledger, that no entry stands behind; of the users in ($1, $2].
SELECT usage."userId" AS user_id, usage."id" AS id
FROM public."UsageHistory" AS usage
JOIN pedro_ledger.entry AS opening ON opening.user_id = usage."userId" AND opening.seq = 1
LEFT JOIN pedro_ledger.entry ON entry.id = usage."id" AND entry.user_id = usage."userId"
    AND ($1::text IS NULL OR entry.user_id > $1) AND ($2::text IS NULL OR entry.user_id <= $2)
WHERE ($1::text IS NULL OR usage."userId" > $1) AND ($2::text IS NULL OR usage."userId" <= $2)
    AND ($1::text IS NULL OR opening.user_id > $1) AND ($2::text IS NULL OR opening.user_id <= $2)
    AND usage."timestamp" > opening.created_at AT TIME ZONE 'UTC'
    AND entry.id IS NULL
ORDER BY 1, 2
LIMIT 1
