-- One entry by the tag and seq that its id names ($1 tag, $2 seq, $3 id), and the hash before it.
SELECT entry.user_id, to_jsonb(entry) AS entry, previous.hash AS previous_hash
FROM pedro_ledger.account
JOIN pedro_ledger.entry ON entry.user_id = account.user_id AND entry.seq = $2
LEFT JOIN pedro_ledger.entry AS previous ON previous.user_id = entry.user_id AND previous.seq = entry.seq - 1
WHERE account.tag = $1 AND entry.id = $3
