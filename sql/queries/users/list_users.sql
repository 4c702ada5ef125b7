-- Users with balance and newest usage, in one query: by ids ($1), or a page newest first ($2 isActive, $3 email, $4 and $5 where the page before ended, $6 how many).
SELECT u."id", u."clerkId", u."email", u."name", u."isActive", u."createdAt", u."updatedAt",
    (SELECT to_jsonb(balance) FROM public."CreditBalance" AS balance WHERE balance."userId" = u."id")::text AS balance,
    (SELECT jsonb_agg(to_jsonb(newest) ORDER BY newest."timestamp" DESC, newest."id" DESC) FROM (
        SELECT * FROM public."UsageHistory" AS usage WHERE usage."userId" = u."id"
        ORDER BY usage."timestamp" DESC, usage."id" DESC LIMIT 5) AS newest)::text AS usage
FROM public."User" AS u
WHERE ($1::text[] IS NULL OR u."id" = ANY ($1))
    AND ($2::boolean IS NULL OR u."isActive" = $2)
    AND ($3::text IS NULL OR u."email" = $3)
    AND ($4::timestamp IS NULL OR (u."createdAt", u."id") < ($4, $5::text))
ORDER BY u."createdAt" DESC, u."id" DESC
LIMIT $6
