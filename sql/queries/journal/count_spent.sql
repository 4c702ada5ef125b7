-- Credits that users ($1) spent in windows ($2 to $3, milliseconds since 1970), of a type ($4) and for a member ($5) where told.
-- A refund counts where what it gives back does. A window begins with the first entry in it, and where entries are of the one
-- after it (a clock was ahead), that one is meant. seq_at finds some place among entries of clocks that disagree, so it looks a
-- minute earlier; readiness tells of clocks that are two seconds off.
SELECT begun.no::integer, CASE WHEN begun.next_seq IS NULL THEN begun.start_ms ELSE begun.end_ms END AS start_ms,
    coalesce((
        SELECT sum(-entry.credits)
        FROM pedro_ledger.entry
        LEFT JOIN pedro_ledger.entry AS refunded
            ON entry.kind = 'refund' AND refunded.user_id = entry.user_id AND refunded.seq = entry.related_seq
        WHERE entry.user_id = begun.user_id AND entry.seq >= coalesce(begun.next_seq, begun.first_seq)
            AND (entry.kind IN ('deduct', 'capture') OR refunded.created_at
                >= CASE WHEN begun.next_seq IS NULL THEN begun.start_at ELSE begun.end_at END)
            AND (begun.operation_type IS NULL OR entry.operation_type = begun.operation_type)
            AND CASE WHEN begun.on_behalf_of IS NULL THEN true
                     ELSE CASE entry.kind WHEN 'refund' THEN refunded.effects ELSE entry.effects END::jsonb ->> 'onBehalfOf'
                         = begun.on_behalf_of END
    ), 0)::bigint AS spent
FROM (
    SELECT asked.*, to_timestamp(start_ms / 1000.0) AS start_at, to_timestamp(end_ms / 1000.0) AS end_at,
        (SELECT min(seq) FROM pedro_ledger.entry WHERE entry.user_id = asked.user_id AND created_at >= to_timestamp(start_ms / 1000.0)
             AND seq > pedro_ledger.seq_at(asked.user_id, to_timestamp(start_ms / 1000.0) - interval '1 minute')) AS first_seq,
        (SELECT min(seq) FROM pedro_ledger.entry WHERE entry.user_id = asked.user_id AND created_at >= to_timestamp(end_ms / 1000.0)
             AND seq > pedro_ledger.seq_at(asked.user_id, to_timestamp(end_ms / 1000.0) - interval '1 minute')) AS next_seq
    FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::text[], $5::text[])
        WITH ORDINALITY AS asked (user_id, start_ms, end_ms, operation_type, on_behalf_of, no)
) AS begun
ORDER BY begun.no
