-- Wait for whoever writes these accounts, then read them; locked until the transaction ends.
SELECT to_jsonb(account) AS account
FROM pedro_ledger.account
WHERE account.user_id = ANY ($1::text[])
ORDER BY account.user_id
FOR UPDATE
