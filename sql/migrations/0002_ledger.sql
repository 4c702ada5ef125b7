-- The ledger: accounts, the append-only journal, remembered refusals, API keys.
-- Every unique key of a table whose rows belong to a user starts with user_id, so that the schema can be spread by user.

CREATE TABLE pedro_ledger.account (
    user_id     text        NOT NULL PRIMARY KEY,
    tag         text        NOT NULL,               -- ten characters derived from user_id; every entry id carries them
    balance_id  text        NOT NULL,               -- the app's "CreditBalance".id
    plan_key    text,                               -- "SubscriptionEvent"."planKey" of the plan that prices this user
    revision    bigint      NOT NULL DEFAULT 0,     -- moves at every write, remembered refusals included
    seq         bigint      NOT NULL DEFAULT 0,     -- of the last entry; 0 before the first
    posted      integer     NOT NULL DEFAULT 0,     -- credits owned, held ones included
    held        integer     NOT NULL DEFAULT 0,     -- credits set aside by open holds
    open_items  jsonb       NOT NULL DEFAULT '{}',  -- open grants with an expiry and open holds
    head        bytea       NOT NULL DEFAULT decode(repeat('00', 32), 'hex'), -- hash of the last entry
    updated_at  timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT account_posted_not_negative CHECK (posted >= 0),
    CONSTRAINT account_held_within_posted CHECK (held BETWEEN 0 AND posted),
    CONSTRAINT account_head_is_sha256 CHECK (octet_length(head) = 32)
) WITH (fillfactor = 60, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 5000);

CREATE INDEX account_tag_idx ON pedro_ledger.account (tag);

CREATE TABLE pedro_ledger.entry (
    user_id         text        NOT NULL,
    seq             bigint      NOT NULL,
    id              text        NOT NULL,           -- names its account and its seq, so it needs no index of its own
    kind            text        NOT NULL,
    operation_type  text,                           -- the app's "OperationType", by name
    credits         integer     NOT NULL,           -- signed change of posted
    balance_after   integer     NOT NULL,
    held_after      integer     NOT NULL DEFAULT 0,
    related_seq     bigint,                         -- the entry refunded, captured, expired
    source          text,                           -- where granted credits came from
    expires_at      timestamptz(3),
    priority        smallint,
    idempotency_key text        NOT NULL,
    fingerprint     bytea       NOT NULL,           -- of the request, to tell a repeat from another request
    actor           text        NOT NULL,           -- id of the API key, or what in the daemon asked
    price           text,                           -- where the price was found, when it was looked up
    details         text,                           -- JSON, byte for byte as hashed
    hash            bytea       NOT NULL,
    created_at      timestamptz(3) NOT NULL,
    CONSTRAINT entry_pkey PRIMARY KEY (user_id, seq),
    CONSTRAINT entry_key_once UNIQUE (user_id, idempotency_key),
    CONSTRAINT entry_seq_fits_id CHECK (seq BETWEEN 1 AND 1073741823),
    CONSTRAINT entry_balance_not_negative CHECK (held_after BETWEEN 0 AND balance_after),
    CONSTRAINT entry_hash_is_sha256 CHECK (octet_length(hash) = 32),
    CONSTRAINT entry_kind_known CHECK (kind IN ('deduct', 'refund', 'grant', 'opening', 'adjustment',
                                                'hold', 'capture', 'void', 'expiry'))
) WITH (autovacuum_vacuum_insert_scale_factor = 0.05);

CREATE INDEX entry_refunds_idx ON pedro_ledger.entry (user_id, related_seq) WHERE related_seq IS NOT NULL;

CREATE TABLE pedro_ledger.refusal (
    user_id         text        NOT NULL,
    idempotency_key text        NOT NULL,
    fingerprint     bytea       NOT NULL,
    code            text        NOT NULL,           -- as in the API's errors
    facts           jsonb       NOT NULL,           -- what the error tells, so that it can be told again
    created_at      timestamptz NOT NULL,
    CONSTRAINT refusal_pkey PRIMARY KEY (user_id, idempotency_key)
) WITH (autovacuum_vacuum_scale_factor = 0.05);

CREATE INDEX refusal_created_at_idx ON pedro_ledger.refusal (created_at);

CREATE TABLE pedro_ledger.api_key (
    id           text        NOT NULL PRIMARY KEY,
    name         text        NOT NULL,
    hash         bytea       NOT NULL UNIQUE,       -- SHA-256 of the key; the key itself is never stored
    scopes       text[]      NOT NULL,
    workspace_id text,
    created_at   timestamptz NOT NULL DEFAULT now(),
    expires_at   timestamptz,
    revoked_at   timestamptz,
    last_used_at timestamptz,
    CONSTRAINT api_key_hash_is_sha256 CHECK (octet_length(hash) = 32)
);

-- Refuses what no caller may do, with a message that says what to do instead.
CREATE FUNCTION pedro_ledger.refuse() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '%', TG_ARGV[0] USING ERRCODE = 'restrict_violation';
END
$$;

-- Refuses to delete, or to rename by its key, a user or balance that the ledger knows.
CREATE FUNCTION pedro_ledger.refuse_known() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    known boolean;
BEGIN
    -- History counts without an account too: where its foreign keys are not enforced, nothing else keeps a user who was not adopted yet.
    IF TG_ARGV[0] = 'user' THEN
        SELECT EXISTS (SELECT FROM pedro_ledger.account WHERE user_id = to_jsonb(OLD) ->> 'id')
            OR EXISTS (SELECT FROM public."UsageHistory" WHERE "userId" = to_jsonb(OLD) ->> 'id') INTO known;
    ELSE
        SELECT EXISTS (SELECT FROM pedro_ledger.account WHERE user_id = to_jsonb(OLD) ->> 'userId')
            OR EXISTS (SELECT FROM public."UsageHistory" WHERE "creditBalanceId" = to_jsonb(OLD) ->> 'id') INTO known;
    END IF;
    IF known THEN
        RAISE EXCEPTION 'pedro_ledger: this % has history and stays; set "User"."isActive" to false instead', TG_ARGV[0]
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END;
END
$$;

-- Aborts the statement that calls it when what must hold does not.
CREATE FUNCTION pedro_ledger.ensure(holds boolean, message text) RETURNS boolean
    LANGUAGE plpgsql AS $$
BEGIN
    IF holds IS NOT TRUE THEN
        RAISE EXCEPTION 'pedro_ledger: %', message USING ERRCODE = 'assert_failure';
    END IF;
    RETURN true;
END
$$;

-- The journal is append-only, for everybody.
CREATE TRIGGER entry_is_append_only BEFORE UPDATE OR DELETE ON pedro_ledger.entry
    FOR EACH ROW EXECUTE FUNCTION pedro_ledger.refuse('pedro_ledger: entries are immutable; post a refund or an adjustment instead');
CREATE TRIGGER entry_is_not_truncated BEFORE TRUNCATE ON pedro_ledger.entry
    FOR EACH STATEMENT EXECUTE FUNCTION pedro_ledger.refuse('pedro_ledger: entries are immutable and are never truncated');
CREATE TRIGGER account_stays BEFORE DELETE ON pedro_ledger.account
    FOR EACH ROW EXECUTE FUNCTION pedro_ledger.refuse('pedro_ledger: an account is never deleted');
CREATE TRIGGER account_is_not_truncated BEFORE TRUNCATE ON pedro_ledger.account
    FOR EACH STATEMENT EXECUTE FUNCTION pedro_ledger.refuse('pedro_ledger: accounts are never truncated');
CREATE TRIGGER entry_comes_from_the_daemon BEFORE INSERT ON pedro_ledger.entry
    FOR EACH ROW WHEN (current_setting('pedro_ledger.writer', true) IS DISTINCT FROM 'on')
    EXECUTE FUNCTION pedro_ledger.refuse('pedro_ledger: entries are written by the daemon; POST /v1/users/{user}/deduct, refund or grants');
CREATE TRIGGER account_is_written_by_the_daemon BEFORE INSERT OR UPDATE ON pedro_ledger.account
    FOR EACH ROW WHEN (current_setting('pedro_ledger.writer', true) IS DISTINCT FROM 'on')
    EXECUTE FUNCTION pedro_ledger.refuse('pedro_ledger: accounts change only through the daemon; POST /v1/users/{user}/deduct, refund or grants');

-- The app's history is append-only too, and new rows come from the daemon alone.
CREATE TRIGGER usage_history_comes_from_the_daemon BEFORE INSERT ON public."UsageHistory"
    FOR EACH ROW WHEN (current_setting('pedro_ledger.writer', true) IS DISTINCT FROM 'on')
    EXECUTE FUNCTION pedro_ledger.refuse('pedro_ledger: usage is recorded by the daemon; POST /v1/users/{user}/deduct');
CREATE TRIGGER usage_history_is_append_only BEFORE UPDATE OR DELETE ON public."UsageHistory"
    FOR EACH ROW EXECUTE FUNCTION pedro_ledger.refuse('pedro_ledger: usage history is immutable; POST /v1/users/{user}/refund');
CREATE TRIGGER usage_history_is_not_truncated BEFORE TRUNCATE ON public."UsageHistory"
    FOR EACH STATEMENT EXECUTE FUNCTION pedro_ledger.refuse('pedro_ledger: usage history is immutable and is never truncated');

-- Credits change through the daemon alone; users and balances with entries stay.
-- After the row's other triggers, which may change what the statement did not.
CREATE TRIGGER credits_change_through_the_daemon AFTER UPDATE ON public."CreditBalance"
    FOR EACH ROW WHEN (OLD."creditsRemaining" IS DISTINCT FROM NEW."creditsRemaining"
                       AND current_setting('pedro_ledger.writer', true) IS DISTINCT FROM 'on')
    EXECUTE FUNCTION pedro_ledger.refuse('pedro_ledger: credits change only through the daemon; POST /v1/users/{user}/deduct, refund or grants');
CREATE TRIGGER credit_balance_keeps_its_keys BEFORE UPDATE OF "id", "userId" ON public."CreditBalance"
    FOR EACH ROW WHEN (OLD."id" IS DISTINCT FROM NEW."id" OR OLD."userId" IS DISTINCT FROM NEW."userId")
    EXECUTE FUNCTION pedro_ledger.refuse_known('balance');
CREATE TRIGGER credit_balance_stays BEFORE DELETE ON public."CreditBalance"
    FOR EACH ROW EXECUTE FUNCTION pedro_ledger.refuse_known('balance');
CREATE TRIGGER credit_balance_is_not_truncated BEFORE TRUNCATE ON public."CreditBalance"
    FOR EACH STATEMENT EXECUTE FUNCTION pedro_ledger.refuse('pedro_ledger: balances are never truncated');
CREATE TRIGGER user_keeps_its_key BEFORE UPDATE OF "id" ON public."User"
    FOR EACH ROW WHEN (OLD."id" IS DISTINCT FROM NEW."id") EXECUTE FUNCTION pedro_ledger.refuse_known('user');
CREATE TRIGGER user_stays BEFORE DELETE ON public."User"
    FOR EACH ROW EXECUTE FUNCTION pedro_ledger.refuse_known('user');
CREATE TRIGGER user_is_not_truncated BEFORE TRUNCATE ON public."User"
    FOR EACH STATEMENT EXECUTE FUNCTION pedro_ledger.refuse('pedro_ledger: users are never truncated');

-- A balance is updated in place by every commit: leave room on its page so that its indexes need not move.
ALTER TABLE public."CreditBalance" SET (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 5000);

-- Where the server can (18 and later), the two checks a row that keep UsageHistory from having orphans are left to the
-- triggers above: users and balances with entries cannot be deleted or renamed, and only the daemon, which has just
-- locked the account, adds rows. The constraints stay in the catalog as Prisma expects them.
DO $$
BEGIN
    IF current_setting('server_version_num')::int >= 180000 THEN
        -- As text: older servers do not know the words, and would refuse the whole block.
        EXECUTE 'ALTER TABLE public."UsageHistory" ALTER CONSTRAINT "UsageHistory_userId_fkey" NOT ENFORCED';
        EXECUTE 'ALTER TABLE public."UsageHistory" ALTER CONSTRAINT "UsageHistory_creditBalanceId_fkey" NOT ENFORCED';
    END IF;
END
$$;
