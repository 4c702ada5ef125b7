-- Users $1 to $2 with $3 credits each, as the app makes them through Prisma.
WITH made AS (
    INSERT INTO "User" ("id", "clerkId", "updatedAt")
    SELECT 'bench_' || lpad(number::text, 8, '0'), 'clerk_bench_' || number, now() AT TIME ZONE 'UTC'
    FROM generate_series($1::bigint, $2::bigint) AS number
    RETURNING "id", "clerkId"
)
INSERT INTO "CreditBalance" ("id", "userId", "clerkUserId", "creditsRemaining", "updatedAt")
SELECT 'balance_' || made."id", made."id", made."clerkId", $3::integer, now() AT TIME ZONE 'UTC' FROM made
