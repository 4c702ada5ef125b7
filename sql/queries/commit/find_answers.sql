-- What is stored under idempotency keys, each an entry or a remembered refusal.
WITH asked AS MATERIALIZED (
    SELECT * FROM unnest($1::text[], $2::text[]) AS k (user_id, idempotency_key)
)
SELECT entry.user_id, to_jsonb(entry) AS entry, NULL::jsonb AS refusal
FROM asked JOIN pedro_ledger.entry USING (user_id, idempotency_key)
UNION ALL
SELECT refusal.user_id, NULL, to_jsonb(refusal)
FROM asked JOIN pedro_ledger.refusal USING (user_id, idempotency_key)
