-- A hold by the tag and seq that its id names ($1 tag, $2 seq, $3 id), with all its entries, and the account as it is.
SELECT to_jsonb(account) AS account,
    (SELECT jsonb_agg(to_jsonb(entry) ORDER BY entry.seq) FROM pedro_ledger.entry
     WHERE entry.user_id = account.user_id AND (entry.seq = made.seq OR entry.related_seq = made.seq)) AS entries
FROM pedro_ledger.account
JOIN pedro_ledger.entry AS made ON made.user_id = account.user_id AND made.seq = $2
WHERE account.tag = $1 AND made.id = $3 AND made.kind = 'hold'
