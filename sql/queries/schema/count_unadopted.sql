-- How many of the app's balances the ledger has not taken over yet.
SELECT count(*) FROM public."CreditBalance" AS balance
WHERE NOT EXISTS (SELECT FROM pedro_ledger.account WHERE account.user_id = balance."userId")
