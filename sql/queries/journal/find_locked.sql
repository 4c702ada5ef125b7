-- Which of the users ($1) have a row that a commit would wait for. It locks what is free, so roll it back.
WITH user_key AS MATERIALIZED (
    -- Whether UsageHistory's foreign key to the user is enforced: each row then takes a lock on the user, too.
    SELECT coalesce(bool_or(coalesce((to_jsonb(pg_constraint) ->> 'conenforced')::boolean, true)), false) AS is_enforced
    FROM pg_constraint
    WHERE conrelid = 'public."UsageHistory"'::regclass AND contype = 'f' AND confrelid = 'public."User"'::regclass
),
free_account AS MATERIALIZED (
    SELECT account.user_id FROM pedro_ledger.account WHERE account.user_id = ANY ($1::text[])
    FOR NO KEY UPDATE SKIP LOCKED
),
free_balance AS MATERIALIZED (
    SELECT balance."userId" AS user_id FROM public."CreditBalance" AS balance WHERE balance."userId" = ANY ($1::text[])
    FOR NO KEY UPDATE SKIP LOCKED
),
free_user AS MATERIALIZED (
    SELECT "User"."id" AS user_id FROM public."User"
    WHERE "User"."id" = ANY ($1::text[]) AND (SELECT is_enforced FROM user_key)
    FOR KEY SHARE SKIP LOCKED
)
SELECT asked.user_id
FROM unnest($1::text[]) AS asked (user_id)
WHERE asked.user_id NOT IN (SELECT user_id FROM free_account)
    OR asked.user_id NOT IN (SELECT user_id FROM free_balance)
    OR (SELECT is_enforced FROM user_key) AND asked.user_id NOT IN (SELECT user_id FROM free_user)
