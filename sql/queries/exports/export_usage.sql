-- The app's usage history, by user and id ($1 from, $2 to, $3 and $4 after which user and id; each may be null).
-- Ids begin with the time, the app's as well as the ledger's, so that a user's rows are about in the order of time.
SELECT usage."userId", usage."id", "User"."clerkId", "User"."email", usage."operationType"::text AS "operationType",
    usage."creditsUsed", usage."details"::json AS "details",
    to_char(usage."timestamp", 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') AS "timestamp"
FROM public."UsageHistory" AS usage
LEFT JOIN public."User" ON "User"."id" = usage."userId"
WHERE ($1::timestamptz IS NULL OR usage."timestamp" >= $1::timestamptz AT TIME ZONE 'UTC')
    AND ($2::timestamptz IS NULL OR usage."timestamp" < $2::timestamptz AT TIME ZONE 'UTC')
    AND ($3::text IS NULL OR (usage."userId", usage."id") > ($3::text, $4::text))
ORDER BY usage."userId", usage."id"
