-- The accounts of these users ($1) name the balance that their user has now: the app may have made another.
UPDATE pedro_ledger.account SET balance_id = balance."id", revision = account.revision + 1
FROM public."CreditBalance" AS balance
WHERE account.user_id = ANY ($1::text[]) AND balance."userId" = account.user_id AND account.balance_id <> balance."id"
