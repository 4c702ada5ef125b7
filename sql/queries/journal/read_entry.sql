-- One entry by the tag and seq that its id names ($1 tag, $2 seq, $3 id), with what it relates to and its refunds.
SELECT entry.user_id, to_jsonb(entry) AS entry, related.id AS related_id, encode(previous.hash, 'hex') AS previous_hash,
    (SELECT jsonb_agg(jsonb_build_object('entryId', refund.id, 'credits', refund.credits, 'timestamp', refund.created_at) ORDER BY refund.seq)
     FROM pedro_ledger.entry AS refund
     WHERE refund.user_id = entry.user_id AND refund.related_seq = entry.seq AND refund.kind = 'refund') AS refunds
FROM pedro_ledger.account
JOIN pedro_ledger.entry ON entry.user_id = account.user_id AND entry.seq = $2
LEFT JOIN pedro_ledger.entry AS related ON related.user_id = entry.user_id AND related.seq = entry.related_seq
LEFT JOIN pedro_ledger.entry AS previous ON previous.user_id = entry.user_id AND previous.seq = entry.seq - 1
WHERE account.tag = $1 AND entry.id = $3
