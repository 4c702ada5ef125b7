-- Holds in every state as their entries tell them, by user and seq ($1 to $4 as for entries, about the making of the hold).
SELECT made.user_id AS "userId", made.seq, made.id AS "holdId", "User"."clerkId", "User"."email",
    CASE WHEN told.has_lapsed THEN 'lapsed' WHEN told.is_voided THEN 'voided' WHEN told.is_captured THEN 'captured'
        WHEN coalesce(told.ends_at, made.expires_at) <= now() THEN 'lapsed' ELSE 'open' END AS "state",
    made.operation_type AS "operationType", made.effects::jsonb #>> '{terms,reference}' AS "reference",
    (made.effects::jsonb ->> 'held')::integer + coalesce(told.extended, 0) AS "creditsReserved",
    (made.effects::jsonb ->> 'held')::integer + coalesce(told.moved, 0) AS "creditsHeld",
    coalesce(told.captured, 0) AS "creditsCaptured",
    to_char(coalesce(told.ends_at, made.expires_at), 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') AS "expiresAt",
    made.idempotency_key AS "idempotencyKey", made.actor AS "keyId", made.details::json AS "details",
    to_char(made.created_at, 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') AS "createdAt",
    to_char(told.closed_at, 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') AS "closedAt"
FROM pedro_ledger.entry AS made
LEFT JOIN public."User" ON "User"."id" = made.user_id
CROSS JOIN LATERAL (
    SELECT bool_or(each.lapses) AS has_lapsed, bool_or(each.kind = 'void' AND NOT each.lapses) AS is_voided,
        bool_or(each.kind = 'capture' AND each.is_final AND NOT each.lapses) AS is_captured,
        sum(each.held) FILTER (WHERE each.kind = 'extend')::integer AS extended, sum(each.held)::integer AS moved,
        -sum(each.credits) FILTER (WHERE each.kind = 'capture')::integer AS captured,
        max(each.expires_at) FILTER (WHERE each.kind = 'extend') AS ends_at,
        min(CASE WHEN each.lapses THEN each.expires_at ELSE each.created_at END)
            FILTER (WHERE each.lapses OR each.kind = 'void' OR each.is_final) AS closed_at
    FROM (
        SELECT entry.kind, entry.credits, entry.expires_at, entry.created_at,
            starts_with(entry.idempotency_key, '§lapse:') AS lapses,
            coalesce((entry.effects::jsonb ->> 'held')::integer, 0) AS held,
            coalesce((entry.effects::jsonb ->> 'final')::boolean, false) AS is_final
        FROM pedro_ledger.entry
        WHERE entry.user_id = made.user_id AND entry.related_seq = made.seq
            AND entry.kind IN ('extend', 'capture', 'void')
    ) AS each
) AS told
WHERE made.kind = 'hold'
    AND ($1::timestamptz IS NULL OR made.created_at >= $1::timestamptz)
    AND ($2::timestamptz IS NULL OR made.created_at < $2::timestamptz)
    AND ($3::text IS NULL OR (made.user_id, made.seq) > ($3::text, $4::bigint))
ORDER BY made.user_id, made.seq
