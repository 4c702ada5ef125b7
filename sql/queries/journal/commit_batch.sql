-- Commit a batch of units: lock their accounts, compare revisions and keys, append what fits, answer for what does not.
-- Each parameter is a column: texts joined by U+0001 with U+0002 for null, numbers as an array's literal, hashes end to end.
WITH write_guard AS MATERIALIZED (
    -- The guards let a change pass only in a transaction that carries this setting; it ends with the transaction.
    -- A version that knows nothing of lots and holds does not say which books it keeps, and cannot touch accounts that have some.
    SELECT set_config('pedro_ledger.writer', 'on', true) || set_config('pedro_ledger.books', '2', true) AS writer
),
locked AS MATERIALIZED (
    -- In one order, whatever the batch's own order is: two replicas can wait for each other, but never in a circle. A lock
    -- that outlasts any commit ends the statement by lock_timeout; find_locked.sql then tells whose account it is.
    SELECT account.*
    FROM pedro_ledger.account
    WHERE account.user_id = ANY (string_to_array($1, E'\x01', E'\x02')) AND (SELECT writer FROM write_guard) IS NOT NULL
    ORDER BY account.user_id
    FOR NO KEY UPDATE
),
unit AS MATERIALIZED (
    SELECT asked.*, substring($7::bytea FROM asked.no::integer * 32 - 31 FOR 32) AS head,
        locked.revision = asked.on_revision AS is_fresh, asked.seq > locked.seq AS appends, locked.balance_id,
        -- A balance is the app's row, and never waited for: its lock concerns its own user. NULL where it is locked.
        CASE WHEN locked.revision = asked.on_revision AND asked.seq > locked.seq THEN
            (SELECT true FROM public."CreditBalance" AS balance WHERE balance."userId" = locked.user_id
             FOR NO KEY UPDATE SKIP LOCKED)
        ELSE true END AS is_free
    FROM unnest(string_to_array($1, E'\x01', E'\x02'), ($2::text)::bigint[], ($3::text)::bigint[], ($4::text)::bigint[],
                ($5::text)::integer[], ($6::text)::integer[])
        WITH ORDINALITY AS asked (user_id, on_revision, revision, seq, posted, held, no)
    LEFT JOIN locked ON locked.user_id = asked.user_id
),
new_entry AS MATERIALIZED (
    SELECT e.*, substring($19::bytea FROM e.no::integer * 16 - 15 FOR 16) AS fingerprint,
        substring($23::bytea FROM e.no::integer * 32 - 31 FOR 32) AS hash
    FROM unnest(($8::text)::bigint[], ($9::text)::bigint[], string_to_array($10, E'\x01', E'\x02'),
                string_to_array($11, E'\x01', E'\x02'), string_to_array($12, E'\x01', E'\x02'), ($13::text)::integer[],
                ($14::text)::integer[], ($15::text)::integer[], ($16::text)::bigint[], string_to_array($17, E'\x01', E'\x02'),
                string_to_array($18, E'\x01', E'\x02'), string_to_array($20, E'\x01', E'\x02'),
                string_to_array($21, E'\x01', E'\x02'), string_to_array($22, E'\x01', E'\x02'))
        WITH ORDINALITY AS e (unit_no, seq, id, kind, operation_type, credits, balance_after, held_after, related_seq, source,
                              idempotency_key, actor, price, details, no)
),
new_refusal AS MATERIALIZED (
    SELECT r.*, substring($26::bytea FROM r.no::integer * 16 - 15 FOR 16) AS fingerprint
    FROM unnest(($24::text)::bigint[], string_to_array($25, E'\x01', E'\x02'), string_to_array($27, E'\x01', E'\x02'),
                string_to_array($28, E'\x01', E'\x02'), ($29::text)::boolean[])
        WITH ORDINALITY AS r (unit_no, idempotency_key, code, facts, is_remembered, no)
),
extra AS MATERIALIZED (
    -- What only some entries have, by the entry's number.
    SELECT x.* FROM unnest(($31::text)::bigint[], ($32::text)::bigint[], ($33::text)::smallint[], string_to_array($34, E'\x01', E'\x02'))
        AS x (entry_no, expires_at_ms, priority, effects)
),
opened AS MATERIALIZED (
    -- Open lots and holds of those units that changed them.
    SELECT o.* FROM unnest(($35::text)::bigint[], string_to_array($36, E'\x01', E'\x02'), ($37::text)::bigint[], ($38::text)::boolean[])
        AS o (unit_no, open_items, due_ms, is_exact)
),
asked_key AS (
    SELECT unit_no, idempotency_key FROM new_entry UNION ALL SELECT unit_no, idempotency_key FROM new_refusal
),
answered AS MATERIALIZED (
    -- Each key by user and key, whatever the planner knew when the plan was made. As plain joins, a plan made on an empty table
    -- looks up the user alone, and each commit reads all that the user ever did, once for every key. LIMIT keeps it from merging.
    SELECT unit.no, known.entry, NULL::jsonb AS refusal
    FROM asked_key JOIN unit ON unit.no = asked_key.unit_no
    CROSS JOIN LATERAL (
        SELECT to_jsonb(entry) - 'user_id' AS entry FROM pedro_ledger.entry
        WHERE entry.user_id = unit.user_id AND entry.idempotency_key = asked_key.idempotency_key LIMIT 1
    ) AS known
    UNION ALL
    SELECT unit.no, NULL, known.refusal
    FROM asked_key JOIN unit ON unit.no = asked_key.unit_no
    CROSS JOIN LATERAL (
        SELECT to_jsonb(refusal) - 'user_id' AS refusal FROM pedro_ledger.refusal
        WHERE refusal.user_id = unit.user_id AND refusal.idempotency_key = asked_key.idempotency_key LIMIT 1
    ) AS known
),
fit AS MATERIALIZED (
    SELECT unit.* FROM unit
    WHERE unit.is_fresh AND unit.is_free AND NOT EXISTS (SELECT FROM answered WHERE answered.no = unit.no)
),
moved_account AS (
    UPDATE pedro_ledger.account
    SET revision = fit.revision, seq = fit.seq, posted = fit.posted, held = fit.held, head = fit.head, updated_at = $30,
        open_items = CASE WHEN opened.unit_no IS NULL THEN account.open_items ELSE opened.open_items::jsonb END,
        -- It may be early, never late: closing a hold and heartbeats leave it, so that they need no new index entry.
        due_at = CASE WHEN opened.unit_no IS NULL THEN account.due_at
                      WHEN opened.is_exact THEN to_timestamp(opened.due_ms / 1000.0)
                      ELSE LEAST(account.due_at, to_timestamp(opened.due_ms / 1000.0)) END
    FROM fit LEFT JOIN opened ON opened.unit_no = fit.no
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
        source, idempotency_key, fingerprint, actor, price, details, hash, created_at, expires_at, priority, effects)
    SELECT fit.user_id, e.seq, e.id, e.kind, e.operation_type, e.credits, e.balance_after, e.held_after, e.related_seq,
        e.source, e.idempotency_key, e.fingerprint, e.actor, e.price, e.details, e.hash, $30,
        to_timestamp(extra.expires_at_ms / 1000.0), extra.priority, extra.effects
    FROM new_entry AS e JOIN fit ON fit.no = e.unit_no LEFT JOIN extra ON extra.entry_no = e.no
    RETURNING 1
),
written_usage AS (
    INSERT INTO public."UsageHistory" ("id", "userId", "creditBalanceId", "operationType", "creditsUsed", "details", "timestamp")
    SELECT e.id, fit.user_id, fit.balance_id, e.operation_type::public."OperationType", -e.credits,
        CASE WHEN e.kind = 'capture' AND e.details IS NULL THEN (
            SELECT hold.details::jsonb FROM pedro_ledger.entry AS hold WHERE hold.user_id = fit.user_id AND hold.seq = e.related_seq
        ) ELSE e.details::jsonb END,
        $30 AT TIME ZONE 'UTC'
    FROM new_entry AS e JOIN fit ON fit.no = e.unit_no
    WHERE e.kind IN ('deduct', 'refund') OR (e.kind = 'capture' AND e.credits <> 0)
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
                SELECT count(*), count(*) FILTER (WHERE e.kind IN ('deduct', 'refund') OR (e.kind = 'capture' AND e.credits <> 0))
                FROM new_entry AS e WHERE e.unit_no IN (SELECT fit.no FROM fit)),
        'a balance, an account or a row of the batch is missing') AS is_whole
) AS checked
LEFT JOIN LATERAL (
    SELECT unit.no::integer AS unit_no, to_jsonb(locked) AS account, answered.entry, answered.refusal,
        CASE WHEN unit.is_fresh AND unit.is_free IS NULL THEN
            pedro_ledger.ensure(EXISTS (SELECT FROM public."CreditBalance" AS balance WHERE balance."userId" = unit.user_id),
                                'a balance of the batch is missing')
        END AS is_locked
    FROM unit
    LEFT JOIN locked ON locked.user_id = unit.user_id
    LEFT JOIN answered ON answered.no = unit.no
    WHERE NOT EXISTS (SELECT FROM fit WHERE fit.no = unit.no)
) AS rejected ON true
