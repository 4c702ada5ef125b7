-- Every account of the users in ($1, $2], beside what the app sees.
SELECT account.user_id, account.seq, account.posted, account.held, account.head, balance."creditsRemaining"
FROM pedro_ledger.account
LEFT JOIN public."CreditBalance" AS balance ON balance."userId" = account.user_id AND balance."id" = account.balance_id
WHERE account.user_id > $1 AND account.user_id <= $2
ORDER BY account.user_id
