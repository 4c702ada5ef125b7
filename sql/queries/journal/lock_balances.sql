-- Balances of users that the ledger does not know yet, locked until the transaction ends.
WITH write_guard AS MATERIALIZED (
    SELECT set_config('pedro_ledger.writer', 'on', true) AS writer
)
SELECT balance."userId" AS user_id, balance."id" AS balance_id, balance."creditsRemaining" AS credits
FROM public."CreditBalance" AS balance, write_guard
WHERE balance."userId" = ANY ($1::text[])
    AND NOT EXISTS (SELECT FROM pedro_ledger.account WHERE account.user_id = balance."userId")
ORDER BY balance."userId"
FOR UPDATE OF balance
