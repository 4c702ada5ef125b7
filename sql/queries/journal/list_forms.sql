-- Every entry of the users in ($1, $2], in the order of the chain; what it says is joined by chr(1) where the hash has NUL.
SELECT user_id, seq, credits, balance_after, held_after, hash,
    concat_ws(chr(1), CASE WHEN effects IS NULL THEN 'pedro1' ELSE 'pedro2' END, user_id, seq, id, kind, coalesce(operation_type, ''), credits, balance_after, held_after,
        coalesce(related_seq::text, ''), coalesce(source, ''), coalesce(((extract(epoch FROM expires_at) * 1000)::bigint)::text, ''),
        coalesce(priority::text, ''), idempotency_key, encode(fingerprint, 'hex'), actor, coalesce(price, ''), coalesce(details, ''), effects,
        (extract(epoch FROM created_at) * 1000)::bigint) AS form
FROM pedro_ledger.entry
WHERE ($1::text IS NULL OR user_id > $1) AND ($2::text IS NULL OR user_id <= $2)
ORDER BY user_id, seq
