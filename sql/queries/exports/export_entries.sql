-- Entries of every kind, by user and seq ($1 from, $2 to, $3 and $4 after which user and seq; each may be null).
SELECT entry.user_id AS "userId", entry.seq, entry.id, "User"."clerkId", "User"."email", entry.kind AS "type",
    entry.operation_type AS "operationType", entry.credits,
    coalesce((entry.effects::jsonb ->> 'held')::integer, 0) AS "heldChange",
    entry.balance_after AS "balanceAfter", entry.held_after AS "heldAfter", related.id AS "relatedEntryId", entry.source,
    to_char(entry.expires_at, 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') AS "expiresAt", entry.priority,
    entry.idempotency_key AS "idempotencyKey", entry.actor AS "keyId", entry.price, entry.details::json AS "details",
    to_char(entry.created_at, 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') AS "timestamp", encode(entry.hash, 'hex') AS "hash"
FROM pedro_ledger.entry
LEFT JOIN pedro_ledger.entry AS related ON related.user_id = entry.user_id AND related.seq = entry.related_seq
LEFT JOIN public."User" ON "User"."id" = entry.user_id
WHERE ($1::timestamptz IS NULL OR entry.created_at >= $1::timestamptz)
    AND ($2::timestamptz IS NULL OR entry.created_at < $2::timestamptz)
    AND ($3::text IS NULL OR (entry.user_id, entry.seq) > ($3::text, $4::bigint))
ORDER BY entry.user_id, entry.seq
