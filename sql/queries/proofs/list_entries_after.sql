-- A user's entries after one and up to another, in order ($1 user, $2 after seq, $3 up to seq, $4 at most).
SELECT to_jsonb(entry) AS entry FROM pedro_ledger.entry
WHERE user_id = $1 AND seq > $2 AND seq <= $3
ORDER BY seq LIMIT $4
