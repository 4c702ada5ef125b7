-- Grants, by user and seq, with what is left of those that end or have a priority ($1 to $4 as for entries).
-- Credits of other grants are one sum, in which nothing tells them apart.
SELECT entry.user_id AS "userId", entry.seq, entry.id, "User"."clerkId", "User"."email", entry.credits, entry.source,
    entry.priority, to_char(entry.expires_at, 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') AS "expiresAt",
    CASE WHEN entry.expires_at IS NOT NULL OR entry.priority IS NOT NULL THEN coalesce((
        SELECT (lot ->> 4)::integer FROM jsonb_array_elements(account.open_items -> 'l') AS lot
        WHERE (lot ->> 0)::bigint = entry.seq AND (entry.expires_at IS NULL OR entry.expires_at > now())
    ), 0) END AS "creditsLeft",
    entry.idempotency_key AS "idempotencyKey", entry.actor AS "keyId", entry.details::json AS "details",
    to_char(entry.created_at, 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') AS "timestamp"
FROM pedro_ledger.entry
JOIN pedro_ledger.account ON account.user_id = entry.user_id
LEFT JOIN public."User" ON "User"."id" = entry.user_id
WHERE entry.kind = 'grant'
    AND ($1::timestamptz IS NULL OR entry.created_at >= $1::timestamptz)
    AND ($2::timestamptz IS NULL OR entry.created_at < $2::timestamptz)
    AND ($3::text IS NULL OR (entry.user_id, entry.seq) > ($3::text, $4::bigint))
ORDER BY entry.user_id, entry.seq
