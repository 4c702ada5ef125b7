-- What is stored under idempotency keys, each an entry or a remembered refusal.
-- Each key is looked up by user and key, on whatever plan: see commit_batch.sql.
WITH asked AS MATERIALIZED (
    SELECT * FROM unnest($1::text[], $2::text[]) AS k (user_id, idempotency_key)
)
SELECT asked.user_id, known.entry, NULL::jsonb AS refusal
FROM asked CROSS JOIN LATERAL (
    SELECT to_jsonb(entry) AS entry FROM pedro_ledger.entry
    WHERE entry.user_id = asked.user_id AND entry.idempotency_key = asked.idempotency_key LIMIT 1
) AS known
UNION ALL
SELECT asked.user_id, NULL, known.refusal
FROM asked CROSS JOIN LATERAL (
    SELECT to_jsonb(refusal) AS refusal FROM pedro_ledger.refusal
    WHERE refusal.user_id = asked.user_id AND refusal.idempotency_key = asked.idempotency_key LIMIT 1
) AS known
