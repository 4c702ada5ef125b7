-- Accounts that have moved on ($1 users, $2 the seq of each that is known).
SELECT to_jsonb(account)
FROM unnest($1::text[], $2::bigint[]) AS known (user_id, seq)
JOIN pedro_ledger.account USING (user_id)
WHERE account.seq > known.seq
