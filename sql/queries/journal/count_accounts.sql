-- How many of these users have an account.
SELECT count(*) FROM pedro_ledger.account WHERE account.user_id = ANY ($1::text[])
