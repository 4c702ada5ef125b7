-- The next accounts after the user $1, at most $2, with the balance that the app has now.
SELECT account.user_id, to_jsonb(account) AS account, balance."creditsRemaining" AS shown
FROM pedro_ledger.account
JOIN public."CreditBalance" AS balance ON balance."userId" = account.user_id
WHERE account.user_id > $1
ORDER BY account.user_id
LIMIT $2
