-- Accounts by User.id ($1) or by Clerk id ($2), with the entries that refunds name ($3 user, $4 seq), as of one moment.
WITH wanted AS MATERIALIZED (
    SELECT ref, ref AS user_id FROM unnest($1::text[]) AS by_id (ref)
    UNION ALL
    SELECT 'clerk:' || clerk_id, "User"."id"
    FROM unnest($2::text[]) AS by_clerk_id (clerk_id) JOIN public."User" ON "User"."clerkId" = clerk_id
),
original AS MATERIALIZED (
    SELECT o.user_id, o.seq, entry.id, entry.kind, entry.operation_type, -entry.credits AS credits_used,
        coalesce((SELECT sum(refund.credits) FROM pedro_ledger.entry AS refund
                  WHERE refund.user_id = o.user_id AND refund.related_seq = o.seq AND refund.kind = 'refund'), 0) AS credits_refunded
    FROM unnest($3::text[], $4::bigint[]) AS o (user_id, seq)
    LEFT JOIN pedro_ledger.entry ON entry.user_id = o.user_id AND entry.seq = o.seq
)
SELECT wanted.ref, wanted.user_id, to_jsonb(account) AS account,
    (SELECT jsonb_agg(to_jsonb(original)) FROM original WHERE original.user_id = wanted.user_id) AS originals
FROM wanted
LEFT JOIN pedro_ledger.account ON account.user_id = wanted.user_id
