-- A page of a user's usage, newest first ($1 user, $2 type, $3 from, $4 to, $5 and $6 where the page before ended, $7 how many).
SELECT "id", "userId", "creditBalanceId", "operationType"::text, "creditsUsed", "details"::text, "timestamp"
FROM public."UsageHistory"
WHERE "userId" = $1
    AND ($2::text IS NULL OR "operationType" = $2::text::public."OperationType")
    AND ($3::timestamp IS NULL OR "timestamp" >= $3)
    AND ($4::timestamp IS NULL OR "timestamp" < $4)
    AND ($5::timestamp IS NULL OR ("timestamp", "id") < ($5, $6::text))
ORDER BY "timestamp" DESC, "id" DESC
LIMIT $7
