-- Users $1 to $2 with a ledger of the same steps each ($3 seq, $4 and $5 what an entry's id has before and after the account's
-- tag, $6 and $7 what the hashed form has between user and tag and after the tag, $8 kind, $9 key, $10 fingerprint, $11 actor,
-- $12 signed credits, $13 balance after, $14 time): the same rows as the daemon would have written, chained by hash.
WITH RECURSIVE write_guard AS MATERIALIZED (
    SELECT set_config('pedro_ledger.writer', 'on', true) AS writer
),
step AS MATERIALIZED (
    SELECT * FROM unnest($3::bigint[], $4::text[], $5::text[], $6::bytea[], $7::bytea[], $8::text[], $9::text[], $10::bytea[],
                         $11::text[], $12::integer[], $13::integer[], $14::timestamptz[])
        AS step (seq, id_head, id_tail, form_middle, form_tail, kind, idempotency_key, fingerprint, actor, credits,
                 balance_after, at)
),
last_step AS MATERIALIZED (SELECT * FROM step ORDER BY seq DESC LIMIT 1),
named AS MATERIALIZED (
    SELECT number, 'bench_' || lpad(number::text, 8, '0') AS user_id
    FROM write_guard, generate_series($1::bigint, $2::bigint) AS number
    WHERE writer IS NOT NULL
),
-- The account's tag: the first 50 bits of SHA-256 over the user id, in Crockford's base 32.
digest AS MATERIALIZED (
    SELECT number, user_id, ('x' || encode(substr(sha256(user_id::bytea), 1, 7), 'hex'))::bit(56)::bigint >> 6 AS bits
    FROM named
),
fresh AS MATERIALIZED (
    SELECT number, user_id, user_id::bytea AS form_user,
        (SELECT string_agg(substr('0123456789ABCDEFGHJKMNPQRSTVWXYZ', (bits >> shift & 31)::integer + 1, 1), '' ORDER BY shift DESC)
         FROM generate_series(0, 45, 5) AS shift) AS tag
    FROM digest
),
chain AS (
    SELECT fresh.user_id, fresh.form_user, fresh.tag, step.seq,
        sha256(decode(repeat('00', 32), 'hex')
               || sha256($15::bytea || fresh.form_user || step.form_middle || fresh.tag::bytea || step.form_tail)) AS hash
    FROM fresh, step WHERE step.seq = 1
    UNION ALL
    SELECT chain.user_id, chain.form_user, chain.tag, step.seq,
        sha256(chain.hash || sha256($15::bytea || chain.form_user || step.form_middle || chain.tag::bytea || step.form_tail))
    FROM chain JOIN step ON step.seq = chain.seq + 1
),
made_user AS (
    INSERT INTO "User" ("id", "clerkId", "updatedAt")
    SELECT user_id, 'clerk_' || user_id, last_step.at AT TIME ZONE 'UTC' FROM fresh, last_step
),
made_balance AS (
    INSERT INTO "CreditBalance" ("id", "userId", "clerkUserId", "creditsRemaining", "updatedAt")
    SELECT 'balance_' || user_id, user_id, 'clerk_' || user_id, last_step.balance_after, last_step.at AT TIME ZONE 'UTC'
    FROM fresh, last_step
),
made_account AS (
    INSERT INTO pedro_ledger.account (user_id, tag, balance_id, revision, seq, posted, head, updated_at)
    SELECT chain.user_id, chain.tag, 'balance_' || chain.user_id, chain.seq, chain.seq, last_step.balance_after, chain.hash,
        last_step.at
    FROM chain JOIN last_step USING (seq)
),
made_entry AS (
    INSERT INTO pedro_ledger.entry (user_id, seq, id, kind, operation_type, credits, balance_after, idempotency_key,
        fingerprint, actor, hash, created_at)
    SELECT chain.user_id, chain.seq, id_head || chain.tag || id_tail, kind,
        CASE kind WHEN 'deduct' THEN 'AI_TEXT_CHAT' END, credits, balance_after, idempotency_key, fingerprint, actor,
        chain.hash, step.at
    FROM chain JOIN step USING (seq)
    ORDER BY chain.user_id, chain.seq
)
INSERT INTO "UsageHistory" ("id", "userId", "creditBalanceId", "operationType", "creditsUsed", "timestamp")
SELECT id_head || chain.tag || id_tail, chain.user_id, 'balance_' || chain.user_id, 'AI_TEXT_CHAT', -credits,
    step.at AT TIME ZONE 'UTC'
FROM chain JOIN step USING (seq)
WHERE kind = 'deduct'
ORDER BY chain.user_id, chain.seq
