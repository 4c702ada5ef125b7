-- The accounts that nobody else has locked; they are ours until the transaction ends.
SELECT to_jsonb(account) AS account
FROM pedro_ledger.account
WHERE account.user_id = ANY ($1::text[])
FOR NO KEY UPDATE SKIP LOCKED
