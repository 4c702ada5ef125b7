-- Every account of the users in ($1, $2], beside what the app sees.
SELECT account.user_id, account.seq, account.posted, account.held, account.head, balance."creditsRemaining", account.open_items
FROM pedro_ledger.account
LEFT JOIN public."CreditBalance" AS balance ON balance."userId" = account.user_id AND balance."id" = account.balance_id
WHERE ($1::text IS NULL OR account.user_id > $1) AND ($2::text IS NULL OR account.user_id <= $2)
