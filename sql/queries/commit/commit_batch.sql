-- Commit a batch of units: lock their accounts, compare revisions and keys, append what fits, answer for what does not.
WITH permit AS MATERIALIZED (
    -- The guards let a change pass only in a transaction that carries this setting; it ends with the transaction.
    SELECT set_config('pedro_ledger.writer', 'on', true) AS writer
),
locked AS MATERIALIZED (
    -- In one order, whatever the batch's own order is: two replicas can wait for each other, but never in a circle.
    SELECT account.*
    FROM pedro_ledger.account
    WHERE account.user_id = ANY ($1::text[]) AND (SELECT writer FROM permit) IS NOT NULL
    ORDER BY account.user_id
    FOR UPDATE
),
unit AS MATERIALIZED (
    SELECT asked.*, locked.revision = asked.on_revision AS is_fresh, asked.seq > locked.seq AS appends, locked.balance_id
    FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::bigint[], $5::integer[], $6::integer[], $7::bytea[])
        WITH ORDINALITY AS asked (user_id, on_revision, revision, seq, posted, held, head, no)
    LEFT JOIN locked ON locked.user_id = asked.user_id
),
new_entry AS MATERIALIZED (
    SELECT *
    FROM unnest($8::bigint[], $9::bigint[], $10::text[], $11::text[], $12::text[], $13::integer[], $14::integer[],
                $15::integer[], $16::bigint[], $17::text[], $18::text[], $19::bytea[], $20::text[], $21::text[], $22::text[],
                $23::bytea[])
        AS e (unit_no, seq, id, kind, operation_type, credits, balance_after, held_after, related_seq, source,
              idempotency_key, fingerprint, actor, price, details, hash)
),
new_refusal AS MATERIALIZED (
    SELECT * FROM unnest($24::bigint[], $25::text[], $26::bytea[], $27::text[], $28::text[], $29::boolean[])
        AS r (unit_no, idempotency_key, fingerprint, code, facts, is_remembered)
),
asked_key AS (
    SELECT unit_no, idempotency_key FROM new_entry UNION ALL SELECT unit_no, idempotency_key FROM new_refusal
),
answered AS MATERIALIZED (
    SELECT unit.no, to_jsonb(entry) - 'user_id' AS entry, NULL::jsonb AS refusal
    FROM asked_key JOIN unit ON unit.no = asked_key.unit_no
    JOIN pedro_ledger.entry ON entry.user_id = unit.user_id AND entry.idempotency_key = asked_key.idempotency_key
    UNION ALL
    SELECT unit.no, NULL, to_jsonb(refusal) - 'user_id'
    FROM asked_key JOIN unit ON unit.no = asked_key.unit_no
    JOIN pedro_ledger.refusal ON refusal.user_id = unit.user_id AND refusal.idempotency_key = asked_key.idempotency_key
),
fit AS MATERIALIZED (
    SELECT unit.* FROM unit WHERE unit.is_fresh AND NOT EXISTS (SELECT FROM answered WHERE answered.no = unit.no)
),
moved_account AS (
    UPDATE pedro_ledger.account
    SET revision = fit.revision, seq = fit.seq, posted = fit.posted, held = fit.held, head = fit.head, updated_at = $30
    FROM fit
    WHERE account.user_id = fit.user_id AND fit.revision > fit.on_revision
    RETURNING 1
),
moved_balance AS (
    UPDATE public."CreditBalance" AS balance
    SET "creditsRemaining" = fit.posted, "lastSyncedAt" = $30 AT TIME ZONE 'UTC', "updatedAt" = $30 AT TIME ZONE 'UTC'
    FROM fit
    WHERE balance."userId" = fit.user_id AND fit.appends
    RETURNING 1
),
written_entry AS (
    INSERT INTO pedro_ledger.entry (user_id, seq, id, kind, operation_type, credits, balance_after, held_after, related_seq,
        source, idempotency_key, fingerprint, actor, price, details, hash, created_at)
    SELECT fit.user_id, e.seq, e.id, e.kind, e.operation_type, e.credits, e.balance_after, e.held_after, e.related_seq,
        e.source, e.idempotency_key, e.fingerprint, e.actor, e.price, e.details, e.hash, $30
    FROM new_entry AS e JOIN fit ON fit.no = e.unit_no
    RETURNING 1
),
written_usage AS (
    INSERT INTO public."UsageHistory" ("id", "userId", "creditBalanceId", "operationType", "creditsUsed", "details", "timestamp")
    SELECT e.id, fit.user_id, fit.balance_id, e.operation_type::public."OperationType", -e.credits, e.details::jsonb,
        $30 AT TIME ZONE 'UTC'
    FROM new_entry AS e JOIN fit ON fit.no = e.unit_no
    WHERE e.kind IN ('deduct', 'refund', 'capture')
    RETURNING 1
),
written_refusal AS (
    INSERT INTO pedro_ledger.refusal (user_id, idempotency_key, fingerprint, code, facts, created_at)
    SELECT fit.user_id, r.idempotency_key, r.fingerprint, r.code, r.facts::jsonb, $30
    FROM new_refusal AS r JOIN fit ON fit.no = r.unit_no
    WHERE r.is_remembered
    RETURNING 1
)
-- A row for each unit that was not applied, else one empty row. What was meant to move must have moved, or nothing does.
SELECT rejected.*, checked.is_whole
FROM (
    SELECT pedro_ledger.ensure(
        (SELECT count(*) FROM moved_balance) = (SELECT count(*) FROM fit WHERE fit.appends)
            AND (SELECT count(*) FROM moved_account) = (SELECT count(*) FROM fit WHERE fit.revision > fit.on_revision)
            AND ((SELECT count(*) FROM written_entry), (SELECT count(*) FROM written_usage)) = (
                SELECT count(*), count(*) FILTER (WHERE e.kind IN ('deduct', 'refund', 'capture'))
                FROM new_entry AS e WHERE e.unit_no IN (SELECT fit.no FROM fit)),
        'a balance, an account or a row of the batch is missing') AS is_whole
) AS checked
LEFT JOIN LATERAL (
    SELECT unit.no::integer AS unit_no, to_jsonb(locked) AS account, answered.entry, answered.refusal
    FROM unit
    LEFT JOIN locked ON locked.user_id = unit.user_id
    LEFT JOIN answered ON answered.no = unit.no
    WHERE NOT EXISTS (SELECT FROM fit WHERE fit.no = unit.no)
) AS rejected ON true
