-- Reports' rollups. What a statement changes is noted beside it, in its transaction, as one row of a queue; a background task of
-- the daemon moves queue rows into the rollups, each in one transaction. So every snapshot sees a change in exactly one of the two,
-- however late it was committed, and rollup + queue is always the query over the raw rows. Nothing here needs a watermark.
-- was: 5eef38fd51778716c977905df288c3bf66acdc062563591e2167787d45d292e1
-- (That text summed up all history here, and held the app's tables meanwhile. Databases that ran it have the same tables and sums.)

-- The queues: no index, only appended to and emptied.
CREATE TABLE pedro_ledger.usage_pending (
    day            date     NOT NULL,               -- UTC
    operation_type text     NOT NULL,
    uses           bigint   NOT NULL,               -- rows of "UsageHistory"
    credits        bigint   NOT NULL,               -- sum of "creditsUsed": refunds count negative
    user_ids       text[]   NOT NULL,               -- of each use, with its credits in the same place
    user_credits   bigint[] NOT NULL
) WITH (autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_scale_factor = 0);
ALTER TABLE pedro_ledger.usage_pending ALTER user_ids SET STORAGE EXTERNAL, ALTER user_credits SET STORAGE EXTERNAL;

CREATE TABLE pedro_ledger.balance_pending (
    band    integer NOT NULL,
    users   bigint  NOT NULL,                       -- signed change
    credits bigint  NOT NULL                        -- signed change
) WITH (autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_scale_factor = 0);

CREATE TABLE pedro_ledger.signup_pending (
    day   date   NOT NULL,
    users bigint NOT NULL                           -- signed change
) WITH (autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_scale_factor = 0);

-- The rollups.
CREATE TABLE pedro_ledger.usage_by_day (
    day            date   NOT NULL,
    operation_type text   NOT NULL,
    uses           bigint NOT NULL,
    credits        bigint NOT NULL,
    CONSTRAINT usage_by_day_pkey PRIMARY KEY (day, operation_type)
) WITH (fillfactor = 50);

-- A user's use in spans of 1, 7 and 28 days, so that a few spans make up any number of days.
CREATE TABLE pedro_ledger.usage_by_user_span (
    user_id        text     NOT NULL,
    days           smallint NOT NULL,
    day            date     NOT NULL,               -- the first one; spans are counted from 0001-01-01, a Monday
    operation_type text     NOT NULL,
    uses           bigint   NOT NULL,
    credits        bigint   NOT NULL,
    CONSTRAINT usage_by_user_span_pkey PRIMARY KEY (user_id, days, day, operation_type)
) WITH (fillfactor = 80);

CREATE INDEX usage_by_user_span_day_idx ON pedro_ledger.usage_by_user_span (days, day);

CREATE TABLE pedro_ledger.usage_by_user (
    user_id        text   NOT NULL,
    operation_type text   NOT NULL,                 -- '' for all of them together
    uses           bigint NOT NULL,
    credits        bigint NOT NULL,
    CONSTRAINT usage_by_user_pkey PRIMARY KEY (user_id, operation_type)
);

CREATE INDEX usage_by_user_top_idx ON pedro_ledger.usage_by_user (operation_type, credits DESC, user_id);

CREATE TABLE pedro_ledger.balance_by_band (
    band    integer NOT NULL PRIMARY KEY,           -- the least balance of the band
    users   bigint  NOT NULL,
    credits bigint  NOT NULL
) WITH (fillfactor = 50);

CREATE TABLE pedro_ledger.signup_by_day (
    day   date   NOT NULL PRIMARY KEY,
    users bigint NOT NULL
) WITH (fillfactor = 50);

-- Open holds are few; a balance without one is not in the index, so a deduct does not touch it.
CREATE INDEX account_held_idx ON pedro_ledger.account (user_id) WHERE held > 0;

-- The band that a balance is in, by its least balance: below zero (the app could overdraw), 0, 1 to 9, 10 to 49, 50 to 99, more.
CREATE FUNCTION pedro_ledger.band(credits integer) RETURNS integer
    LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN credits >= 100 THEN 100 WHEN credits >= 50 THEN 50 WHEN credits >= 10 THEN 10
                WHEN credits >= 1 THEN 1 WHEN credits = 0 THEN 0 ELSE -2147483648 END
$$;

CREATE FUNCTION pedro_ledger.note_usage() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    INSERT INTO pedro_ledger.usage_pending (day, operation_type, uses, credits, user_ids, user_credits)
    SELECT (created_at AT TIME ZONE 'UTC')::date, operation_type, count(*), -sum(credits), array_agg(user_id),
        array_agg(-credits::bigint)
    FROM fresh
    WHERE kind IN ('deduct', 'refund', 'capture')
    GROUP BY 1, 2;
    RETURN NULL;
END
$$;

-- Not by the entries: the app makes balances too, and adoption changes one that was below zero.
CREATE FUNCTION pedro_ledger.note_balances() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF TG_OP = 'UPDATE' THEN
        INSERT INTO pedro_ledger.balance_pending (band, users, credits)
        SELECT pedro_ledger.band(credits), sum(users), sum(users * credits::bigint)
        FROM (SELECT 1 AS users, "creditsRemaining" AS credits FROM fresh
              UNION ALL SELECT -1, "creditsRemaining" FROM gone) AS change
        GROUP BY 1
        HAVING sum(users) <> 0 OR sum(users * credits::bigint) <> 0;
    ELSIF TG_OP = 'INSERT' THEN
        INSERT INTO pedro_ledger.balance_pending (band, users, credits)
        SELECT pedro_ledger.band("creditsRemaining"), count(*), sum("creditsRemaining") FROM fresh GROUP BY 1;
    ELSE
        INSERT INTO pedro_ledger.balance_pending (band, users, credits)
        SELECT pedro_ledger.band("creditsRemaining"), -count(*), -sum("creditsRemaining") FROM gone GROUP BY 1;
    END IF;
    RETURN NULL;
END
$$;

CREATE FUNCTION pedro_ledger.note_signups() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF TG_OP <> 'DELETE' THEN
        INSERT INTO pedro_ledger.signup_pending (day, users) SELECT "createdAt"::date, count(*) FROM fresh GROUP BY 1;
    END IF;
    IF TG_OP <> 'INSERT' THEN
        INSERT INTO pedro_ledger.signup_pending (day, users) SELECT "createdAt"::date, -count(*) FROM gone GROUP BY 1;
    END IF;
    RETURN NULL;
END
$$;

-- The triggers first: each locks its table against writers until this transaction ends, so the sums below miss nothing.
CREATE TRIGGER entry_is_reported AFTER INSERT ON pedro_ledger.entry
    REFERENCING NEW TABLE AS fresh FOR EACH STATEMENT EXECUTE FUNCTION pedro_ledger.note_usage();
CREATE TRIGGER new_balance_is_reported AFTER INSERT ON public."CreditBalance"
    REFERENCING NEW TABLE AS fresh FOR EACH STATEMENT EXECUTE FUNCTION pedro_ledger.note_balances();
CREATE TRIGGER changed_balance_is_reported AFTER UPDATE ON public."CreditBalance"
    REFERENCING NEW TABLE AS fresh OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION pedro_ledger.note_balances();
CREATE TRIGGER deleted_balance_is_reported AFTER DELETE ON public."CreditBalance"
    REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION pedro_ledger.note_balances();
CREATE TRIGGER new_user_is_reported AFTER INSERT ON public."User"
    REFERENCING NEW TABLE AS fresh FOR EACH STATEMENT EXECUTE FUNCTION pedro_ledger.note_signups();
CREATE TRIGGER changed_user_is_reported AFTER UPDATE ON public."User"
    REFERENCING NEW TABLE AS fresh OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION pedro_ledger.note_signups();
CREATE TRIGGER deleted_user_is_reported AFTER DELETE ON public."User"
    REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION pedro_ledger.note_signups();

-- The history is summed up after the migrations, some users at a time (sum_history.sql). Nobody adds to it before: the app's own
-- inserts are refused since 0002, and no daemon serves a database in which this table is left.
CREATE TABLE pedro_ledger.history_summing (
    after_user_id text NOT NULL
);
INSERT INTO pedro_ledger.history_summing VALUES ('');

INSERT INTO pedro_ledger.balance_by_band (band, users, credits)
SELECT pedro_ledger.band("creditsRemaining"), count(*), sum("creditsRemaining") FROM public."CreditBalance" GROUP BY 1;
INSERT INTO pedro_ledger.signup_by_day (day, users) SELECT "createdAt"::date, count(*) FROM public."User" GROUP BY 1;
