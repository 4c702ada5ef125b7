-- The first of some sealed accounts whose ledger does not pass through what was sealed.
-- $1 users, $2 seq, $3 head, $4 posted, $5 held of each; accounts without entries are not among them.
SELECT sealed.user_id, sealed.seq
FROM unnest($1::text[], $2::bigint[], $3::bytea[], $4::integer[], $5::integer[]) AS sealed (user_id, seq, head, posted, held)
LEFT JOIN pedro_ledger.entry ON entry.user_id = sealed.user_id AND entry.seq = sealed.seq
WHERE (entry.hash, entry.balance_after, entry.held_after) IS DISTINCT FROM (sealed.head, sealed.posted, sealed.held)
ORDER BY sealed.user_id COLLATE "C"
LIMIT 1
