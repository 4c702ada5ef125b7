-- Of these users ($1), the rows of usage that are newer than the ledger and have no entry behind them are the app's own.
INSERT INTO pedro_ledger.usage_while_away (user_id, usage_id)
SELECT usage."userId", usage."id"
FROM public."UsageHistory" AS usage
JOIN pedro_ledger.entry AS opening ON opening.user_id = usage."userId" AND opening.seq = 1
LEFT JOIN pedro_ledger.entry ON entry.user_id = usage."userId" AND entry.id = usage."id"
WHERE usage."userId" = ANY ($1::text[]) AND entry.id IS NULL AND usage."timestamp" > opening.created_at AT TIME ZONE 'UTC'
ON CONFLICT DO NOTHING
