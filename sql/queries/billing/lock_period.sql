-- What a billing period lacks ($1 user, $2 provider, $3 subscription, $4 period), its row locked.
-- With the key of its next entry, and that entry where the ledger has it already; no row where nothing is owed.
SELECT p.step, p.amount, p.plan_keys, p.paid_at, p.starts_at, p.ends_at, p.terms, p.granted_seq, next_entry.key, entry.seq, abs(entry.credits) AS credits,
    p.amount IS NULL AND p.step % 2 = 0 AND entry.seq IS NULL
        AND (p.paid_at IS NULL OR p.refunded_at IS NOT NULL OR p.undone_at >= p.paid_at) AS is_void,
    (SELECT granted.expires_at IS NOT NULL FROM pedro_ledger.entry AS granted
     WHERE granted.user_id = p.user_id AND granted.seq = p.granted_seq) AS made_lot,
    (SELECT cycle FROM pedro_ledger.asaas_subscription AS a WHERE a.user_id = p.user_id AND a.id = p.subscription_id) AS cycle
FROM pedro_ledger.plan_period AS p
CROSS JOIN LATERAL (
    SELECT concat_ws(':', '§plan', p.provider, p.subscription_id, p.period, p.step) AS key
) AS next_entry
LEFT JOIN pedro_ledger.entry ON entry.user_id = p.user_id AND entry.idempotency_key = next_entry.key
WHERE p.user_id = $1 AND p.provider = $2 AND p.subscription_id = $3 AND p.period = $4 AND p.is_owed
FOR UPDATE OF p
