-- Users with balance and newest usage, in one query: by ids ($1), or a page newest first ($2 isActive, $3 email, $4 and $5 where the page before ended, $6 how many).
SELECT u."id", u."clerkId", u."email", u."name", u."isActive", u."createdAt", u."updatedAt",
    (SELECT to_jsonb(balance) FROM public."CreditBalance" AS balance WHERE balance."userId" = u."id")::text AS balance,
    -- The newest uses are the newest entries of their kinds; the app's table, which has them by user alone, is only read for a
    -- user with fewer, whom the app may have charged before the ledger came.
    (SELECT jsonb_agg(to_jsonb(newest) ORDER BY newest."timestamp" DESC, newest."id" DESC) FROM (
        SELECT usage.*
        FROM (SELECT entry.id FROM pedro_ledger.entry
              WHERE entry.user_id = u."id" AND entry.kind IN ('deduct', 'refund', 'capture') ORDER BY entry.seq DESC LIMIT 5) AS recorded
        JOIN public."UsageHistory" AS usage ON usage."id" = recorded.id
        UNION ALL
        (SELECT usage.*
         FROM public."UsageHistory" AS usage
         WHERE usage."userId" = u."id"
             AND NOT EXISTS (SELECT FROM pedro_ledger.entry AS first
                             WHERE first.user_id = u."id" AND first.seq = 1 AND first.kind <> 'opening')
             AND (length(usage."id") = 26
                  AND substr(usage."id", 11, 10) = (SELECT account.tag FROM pedro_ledger.account WHERE account.user_id = u."id"))
                 IS NOT TRUE
         ORDER BY usage."timestamp" DESC, usage."id" DESC
         LIMIT 5 - (SELECT count(*) FROM (
             SELECT FROM pedro_ledger.entry
             WHERE entry.user_id = u."id" AND entry.kind IN ('deduct', 'refund', 'capture') LIMIT 5) AS recorded))
        ) AS newest)::text AS usage
FROM public."User" AS u
WHERE ($1::text[] IS NULL OR u."id" = ANY ($1))
    AND ($2::boolean IS NULL OR u."isActive" = $2)
    AND ($3::text IS NULL OR u."email" = $3)
    AND ($4::timestamp IS NULL OR (u."createdAt", u."id") < ($4, $5::text))
ORDER BY u."createdAt" DESC, u."id" DESC
LIMIT $6
