-- A page of a user's entries in order of seq ($1 user, $2 after seq, $3 from, $4 to, $5 how many).
SELECT to_jsonb(entry) AS entry, related.id AS related_id
FROM pedro_ledger.entry
LEFT JOIN pedro_ledger.entry AS related ON related.user_id = entry.user_id AND related.seq = entry.related_seq
WHERE entry.user_id = $1 AND entry.seq > $2
    -- Times choose the rows; seq, a day around them in case clocks disagreed, chooses what is read.
    AND entry.seq >= CASE WHEN $3::timestamptz IS NULL THEN 1 ELSE pedro_ledger.seq_at($1, $3 - interval '1 day') END
    AND entry.seq <= CASE WHEN $4::timestamptz IS NULL THEN 9223372036854775807 ELSE pedro_ledger.seq_at($1, $4 + interval '1 day') END
    AND ($3::timestamptz IS NULL OR entry.created_at >= $3)
    AND ($4::timestamptz IS NULL OR entry.created_at < $4)
ORDER BY entry.seq
LIMIT $5
