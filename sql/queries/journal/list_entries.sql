-- Every entry of a user, in the order of the chain; times as milliseconds since 1970.
SELECT seq, id, kind, operation_type, credits, balance_after, held_after, related_seq, source,
    (extract(epoch FROM expires_at) * 1000)::bigint, priority, idempotency_key, fingerprint, actor, price, details,
    (extract(epoch FROM created_at) * 1000)::bigint, hash, effects
FROM pedro_ledger.entry
WHERE user_id = $1
ORDER BY seq
