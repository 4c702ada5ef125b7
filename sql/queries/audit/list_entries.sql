-- Every entry of the users in ($1, $2], in the order of the chain; times as milliseconds since 1970.
SELECT user_id, seq, id, kind, operation_type, credits, balance_after, held_after, related_seq, source,
    (extract(epoch FROM expires_at) * 1000)::bigint, priority, idempotency_key, fingerprint, actor, price, details,
    (extract(epoch FROM created_at) * 1000)::bigint, hash
FROM pedro_ledger.entry
WHERE user_id > $1 AND user_id <= $2
ORDER BY user_id, seq
