-- A page of a user's usage, newest first ($1 user, $2 type, $3 from, $4 to, $5 below which seq, $6 and $7 after which row, $8 how many).
-- The ledger's rows are read from its entries, which have them in order by their key; the app's table has them by user alone, so
-- it is read only where the ledger's rows end and those from before it may follow ($6 time and $7 id, when the page before ended there).
WITH recorded AS MATERIALIZED (
    SELECT entry.id, entry.operation_type, -entry.credits AS credits_used, entry.details, entry.created_at AT TIME ZONE 'UTC' AS at, entry.seq
    FROM pedro_ledger.entry
    WHERE entry.user_id = $1 AND entry.seq < $5
        -- Times choose the rows; seq, a day around them in case clocks disagreed, chooses what is read.
        AND entry.seq >= CASE WHEN $3::timestamp IS NULL THEN 1 ELSE pedro_ledger.seq_at($1, $3 AT TIME ZONE 'UTC' - interval '1 day') END
        AND entry.seq <= CASE WHEN $4::timestamp IS NULL THEN $5 ELSE pedro_ledger.seq_at($1, $4 AT TIME ZONE 'UTC' + interval '1 day') END
        AND entry.kind IN ('deduct', 'refund', 'capture')
        AND ($2::text IS NULL OR entry.operation_type = $2)
        AND ($3::timestamp IS NULL OR entry.created_at >= $3 AT TIME ZONE 'UTC')
        AND ($4::timestamp IS NULL OR entry.created_at < $4 AT TIME ZONE 'UTC')
    ORDER BY entry.seq DESC
    LIMIT $8
),
older AS (
    SELECT usage."id", usage."operationType"::text, usage."creditsUsed", usage."details"::text, usage."timestamp", 0::bigint AS seq,
        usage."creditBalanceId"
    FROM public."UsageHistory" AS usage
    WHERE usage."userId" = $1
        AND NOT EXISTS (SELECT FROM pedro_ledger.entry AS first WHERE first.user_id = $1 AND first.seq = 1 AND first.kind <> 'opening')
        AND (length(usage."id") = 26
             AND substr(usage."id", 11, 10) = (SELECT account.tag FROM pedro_ledger.account WHERE account.user_id = $1)) IS NOT TRUE
        AND ($2::text IS NULL OR usage."operationType"::text = $2)
        AND ($3::timestamp IS NULL OR usage."timestamp" >= $3)
        AND ($4::timestamp IS NULL OR usage."timestamp" < $4)
        AND ($6::timestamp IS NULL OR (usage."timestamp", usage."id") < ($6, $7::text))
    ORDER BY usage."timestamp" DESC, usage."id" DESC
    LIMIT $8 - (SELECT count(*) FROM recorded)
)
SELECT recorded.id, $1 AS "userId", account.balance_id AS "creditBalanceId", recorded.operation_type AS "operationType",
    recorded.credits_used AS "creditsUsed", recorded.details, recorded.at AS "timestamp", recorded.seq
FROM recorded
CROSS JOIN pedro_ledger.account
WHERE account.user_id = $1
UNION ALL
SELECT older."id", $1, older."creditBalanceId", older."operationType", older."creditsUsed", older."details", older."timestamp", older.seq
FROM older
ORDER BY seq DESC, "timestamp" DESC, id DESC
