-- Accounts by user ($1), Clerk id ($2) or hold ($5 id, $6 tag, $7 seq), with the entries that operations name ($3 user, $4 seq).
-- All as of one moment. Of an entry that has effects it tells all, with the entries about it, and the grants that it drew from with their ends.
WITH wanted AS MATERIALIZED (
    SELECT ref, ref AS user_id FROM unnest($1::text[]) AS by_id (ref)
    UNION ALL
    SELECT 'clerk:' || clerk_id, "User"."id"
    FROM unnest($2::text[]) AS by_clerk_id (clerk_id) JOIN public."User" ON "User"."clerkId" = clerk_id
    UNION ALL
    SELECT 'hold:' || hold.id, entry.user_id
    FROM unnest($5::text[], $6::text[], $7::bigint[]) AS hold (id, tag, seq)
    JOIN pedro_ledger.account ON account.tag = hold.tag
    JOIN pedro_ledger.entry ON entry.user_id = account.user_id AND entry.seq = hold.seq AND entry.id = hold.id AND entry.kind = 'hold'
),
original AS MATERIALIZED (
    SELECT o.user_id, o.seq, entry.id, entry.kind, entry.operation_type, -entry.credits AS credits_used,
        coalesce((SELECT sum(refund.credits) FROM pedro_ledger.entry AS refund
                  WHERE refund.user_id = o.user_id AND refund.related_seq = o.seq AND refund.kind = 'refund'), 0) AS credits_refunded,
        CASE WHEN entry.effects IS NOT NULL THEN to_jsonb(entry) END AS entry,
        CASE WHEN entry.effects IS NOT NULL THEN (
            SELECT jsonb_agg(to_jsonb(about) ORDER BY about.seq) FROM pedro_ledger.entry AS about
            WHERE about.user_id = o.user_id AND about.related_seq = o.seq) END AS related,
        CASE WHEN entry.effects IS NOT NULL AND entry.effects::jsonb ? 'lots' THEN (
            SELECT jsonb_agg(to_jsonb(made)) FROM jsonb_array_elements(entry.effects::jsonb -> 'lots') AS lot
            CROSS JOIN LATERAL (
                SELECT * FROM pedro_ledger.entry AS grant_ WHERE grant_.user_id = o.user_id AND grant_.seq = (lot ->> 0)::bigint
                UNION ALL
                SELECT * FROM pedro_ledger.entry AS ended
                WHERE ended.user_id = o.user_id AND ended.related_seq = (lot ->> 0)::bigint AND ended.kind = 'expiry'
            ) AS made) END AS grants
    FROM unnest($3::text[], $4::bigint[]) AS o (user_id, seq)
    LEFT JOIN pedro_ledger.entry ON entry.user_id = o.user_id AND entry.seq = o.seq
)
SELECT wanted.ref, wanted.user_id, to_jsonb(account) AS account,
    (SELECT jsonb_agg(to_jsonb(original)) FROM original WHERE original.user_id = wanted.user_id) AS originals
FROM wanted
LEFT JOIN pedro_ledger.account ON account.user_id = wanted.user_id
