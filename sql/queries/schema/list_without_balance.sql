-- Users with an account whose balance the app has removed.
SELECT account.user_id FROM pedro_ledger.account
WHERE NOT EXISTS (SELECT FROM public."CreditBalance" AS balance WHERE balance."userId" = account.user_id)
