-- A page of a user's entries, newest first ($1 user, $2 before seq, $3 from, $4 to, $5 how many).
SELECT to_jsonb(entry) AS entry, related.id AS related_id
FROM pedro_ledger.entry
LEFT JOIN pedro_ledger.entry AS related ON related.user_id = entry.user_id AND related.seq = entry.related_seq
WHERE entry.user_id = $1 AND entry.seq < $2
    AND ($3::timestamptz IS NULL OR entry.created_at >= $3)
    AND ($4::timestamptz IS NULL OR entry.created_at < $4)
ORDER BY entry.seq DESC
LIMIT $5
