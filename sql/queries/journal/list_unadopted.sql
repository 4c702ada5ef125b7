-- A page of users after $1 whose balance the ledger has not taken over yet, at most $2.
SELECT balance."userId" AS user_id
FROM public."CreditBalance" AS balance
WHERE balance."userId" > $1
    AND NOT EXISTS (SELECT FROM pedro_ledger.account WHERE account.user_id = balance."userId")
ORDER BY balance."userId"
LIMIT $2
