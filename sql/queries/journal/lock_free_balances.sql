-- Balances of users ($1) whom the ledger does not know yet, locked until the transaction ends. What somebody has locked is left out.
WITH write_guard AS MATERIALIZED (
    SELECT set_config('pedro_ledger.writer', 'on', true) AS writer
)
SELECT balance."userId" AS user_id, balance."id" AS balance_id, balance."creditsRemaining" AS credits
FROM write_guard, public."CreditBalance" AS balance
JOIN public."User" ON "User"."id" = balance."userId"
WHERE balance."userId" = ANY ($1::text[])
    AND NOT EXISTS (SELECT FROM pedro_ledger.account WHERE account.user_id = balance."userId")
ORDER BY balance."userId"
FOR NO KEY UPDATE OF balance SKIP LOCKED
FOR KEY SHARE OF "User" SKIP LOCKED
