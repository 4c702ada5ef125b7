-- Plans by their id. An event names its plan by a name or another key; which plan that is, is settled when the event comes, and kept
-- beside it, so that a plan can be renamed, retired and made again without its subscribers being mixed up.
-- No row is rewritten here. Events and accounts of before are brought up to date afterwards, some at a time, by the daemon and by
-- `pedro-ledger migrate`; until then they are read as before. A replica of the version before reads account.plan_key, which is
-- kept in step: a plan's id is one of the keys by which it finds prices.

-- Which plan an event means. Kept by the trigger below for whoever writes "SubscriptionEvent", and by the daemon for its webhooks.
CREATE TABLE pedro_ledger.event_plan (
    clerk_id    text           NOT NULL,              -- "SubscriptionEvent"."clerkUserId"
    event_id    text           NOT NULL,              -- "SubscriptionEvent"."id"
    plan_id     text,                                 -- "Plan"."id"; null while it is not known
    plan_keys   text[]         NOT NULL,              -- what the plan may be called, while it is not known
    reason      text,                                 -- why it is not known: plan_not_found, plan_ambiguous; null where nothing is named
    told_by     text           NOT NULL DEFAULT 'app',
    recorded_at timestamp(3)   NOT NULL,              -- UTC; plans that were there then count before later ones
    CONSTRAINT event_plan_pkey PRIMARY KEY (clerk_id, event_id)
);

CREATE INDEX event_plan_unknown_idx ON pedro_ledger.event_plan USING gin (plan_keys) WHERE plan_id IS NULL;
CREATE INDEX event_plan_ambiguous_idx ON pedro_ledger.event_plan (recorded_at) WHERE reason = 'plan_ambiguous';

-- How far the events of before were brought up to date.
CREATE TABLE pedro_ledger.event_plan_progress (
    id       smallint NOT NULL PRIMARY KEY CHECK (id = 1),
    after_id text     NOT NULL,                       -- of the last event that was looked at
    is_done  boolean  NOT NULL
);
INSERT INTO pedro_ledger.event_plan_progress SELECT 1, '', NOT EXISTS (SELECT FROM public."SubscriptionEvent");

-- A row a Clerk user, to be locked by whoever derives that user's plan: the events of a user and the account are of different
-- transactions, none of which sees the other's rows. Not advisory locks: there are only some thousands of them at a time.
CREATE TABLE pedro_ledger.plan_lock (
    clerk_id text NOT NULL PRIMARY KEY
) WITH (fillfactor = 70);

-- Clerk users whose plan is to be derived at the end of the transaction that adds them; nobody else ever sees a row. A detour: the
-- deferred trigger is on this table, because Prisma's `db push` breaks down where one of the app's own tables has one.
CREATE TABLE pedro_ledger.plan_change (
    clerk_id text NOT NULL
);
CREATE INDEX plan_change_clerk_idx ON pedro_ledger.plan_change (clerk_id);

ALTER TABLE pedro_ledger.account ADD COLUMN plan_id text; -- "Plan"."id" of the plan that prices this user

-- The plans that go by the best of some keys: the provider's own id, another id, a name; plans that were there at a time first.
CREATE FUNCTION pedro_ledger.plans_named(keys text[], provider text, at timestamp) RETURNS SETOF text
    LANGUAGE sql STABLE AS $$
    WITH candidate AS (
        SELECT plan."id" AS id, told.no AS no, coalesce(plan."createdAt" > at, false) AS is_later,
            CASE
                WHEN told.name = CASE provider WHEN 'clerk' THEN plan."clerkId" WHEN 'asaas' THEN plan."asaasId" END THEN 1
                WHEN told.name IN (plan."id", plan."clerkId", plan."asaasId") THEN 2
                ELSE 3
            END AS kind
        FROM unnest(keys) WITH ORDINALITY AS told (name, no)
        JOIN public."Plan" AS plan ON told.name IN (plan."id", plan."clerkId", plan."asaasId", plan."clerkName", plan."name")
    ),
    best AS (SELECT kind, is_later, no FROM candidate ORDER BY kind, is_later, no LIMIT 1)
    SELECT DISTINCT candidate.id FROM candidate JOIN best USING (kind, is_later, no) ORDER BY 1
$$;

-- What an event calls its plan: what the provider called it in the event that was recorded, then the app's own key.
CREATE FUNCTION pedro_ledger.plan_keys_of(plan_key text, metadata jsonb) RETURNS text[]
    LANGUAGE sql IMMUTABLE AS $$
    SELECT array_remove(ARRAY[metadata #>> '{data,plan_id}', metadata #>> '{data,plan,id}', plan_key], NULL)
$$;

-- Which plan an event means: its id, or why it is not known.
CREATE FUNCTION pedro_ledger.meant_plan(keys text[], at timestamp, OUT plan_id text, OUT reason text)
    LANGUAGE sql STABLE AS $$
    SELECT CASE count(*) WHEN 1 THEN min(named.id) END,
        CASE WHEN cardinality(keys) > 0 THEN CASE count(*) WHEN 0 THEN 'plan_not_found' WHEN 1 THEN NULL ELSE 'plan_ambiguous' END END
    FROM pedro_ledger.plans_named(keys, NULL, at) AS named (id)
$$;

-- The plan that prices a Clerk user: of those that the newest event says are in force, the newest. An event that names two plans
-- says nothing. `plan_key` is the plan's id, or else what the event calls it.
CREATE FUNCTION pedro_ledger.plan_in_force(clerk_id text, OUT plan_id text, OUT plan_key text)
    LANGUAGE sql STABLE AS $$
    SELECT newest.plan_id, newest.plan_key
    FROM (
        SELECT DISTINCT ON (coalesce(meant.plan_id, 'key:' || event."planKey")) meant.plan_id,
            coalesce(meant.plan_id, event."planKey") AS plan_key, event."status" AS status, event."eventType" AS event_type,
            event."occurredAt" AS occurred_at, event."createdAt" AS created_at, event."id" AS id
        FROM public."SubscriptionEvent" AS event
        LEFT JOIN pedro_ledger.event_plan AS known ON known.clerk_id = event."clerkUserId" AND known.event_id = event."id"
        CROSS JOIN LATERAL (
            SELECT known.plan_id, known.reason WHERE known.event_id IS NOT NULL
            UNION ALL
            SELECT found.plan_id, found.reason -- an event of before
            FROM pedro_ledger.meant_plan(pedro_ledger.plan_keys_of(event."planKey", event."metadata"), event."createdAt") AS found
            WHERE known.event_id IS NULL
        ) AS meant
        WHERE event."clerkUserId" = plan_in_force.clerk_id AND (event."planKey" IS NOT NULL OR meant.plan_id IS NOT NULL)
            AND meant.reason IS DISTINCT FROM 'plan_ambiguous'
            -- These say nothing about which plan is in force.
            AND event."status" NOT IN ('incomplete', 'abandoned', 'upcoming', 'pending', 'paid', 'failed', 'refunded', 'chargeback')
        ORDER BY coalesce(meant.plan_id, 'key:' || event."planKey"), event."occurredAt" DESC, event."createdAt" DESC, event."id" DESC
    ) AS newest
    WHERE newest.status NOT IN ('ended', 'expired', 'deleted')
        -- Asaas tells no end after these, so they are it.
        AND newest.event_type NOT IN ('SUBSCRIPTION_DELETED', 'SUBSCRIPTION_INACTIVATED')
    ORDER BY newest.occurred_at DESC, newest.created_at DESC, newest.id DESC
    LIMIT 1
$$;

-- For replicas of the version before, which open accounts with it.
CREATE OR REPLACE FUNCTION pedro_ledger.plan_of(clerk_id text) RETURNS text
    LANGUAGE sql STABLE AS $$ SELECT plan_key FROM pedro_ledger.plan_in_force(clerk_id) $$;

-- From here to the end of the transaction, nobody else derives the plan of a Clerk user; whoever did it before has committed.
CREATE FUNCTION pedro_ledger.lock_plan(clerk_id text) RETURNS void
    LANGUAGE sql AS $$
    INSERT INTO pedro_ledger.plan_lock AS known (clerk_id) VALUES (lock_plan.clerk_id)
    ON CONFLICT ON CONSTRAINT plan_lock_pkey DO UPDATE SET clerk_id = excluded.clerk_id
$$;

-- Bring the account of a Clerk user to the plan that the events say. The account's revision moves with it, so that no replica
-- commits a charge that it decided by the prices of the plan before.
CREATE FUNCTION pedro_ledger.derive_plan(of_clerk_id text) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    writer text := current_setting('pedro_ledger.writer', true);
    now_in_force record;
BEGIN
    PERFORM pedro_ledger.lock_plan(of_clerk_id); -- each statement from here on sees what was committed before
    SELECT * INTO now_in_force FROM pedro_ledger.plan_in_force(of_clerk_id);
    PERFORM set_config('pedro_ledger.writer', 'on', true);
    UPDATE pedro_ledger.account AS a
    SET plan_id = now_in_force.plan_id, plan_key = now_in_force.plan_key, revision = a.revision + 1
    FROM public."User" AS u
    WHERE u."clerkId" = of_clerk_id AND a.user_id = u."id"
        AND (a.plan_id, a.plan_key) IS DISTINCT FROM (now_in_force.plan_id, now_in_force.plan_key);
    PERFORM set_config('pedro_ledger.writer', coalesce(writer, ''), true);
END
$$;

-- Whoever writes a subscription event, the user is charged by its plan from the end of that transaction on: not earlier, so that
-- an app that keeps its transaction open holds no lock of the ledger meanwhile.
CREATE OR REPLACE FUNCTION pedro_ledger.follow_plan() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    at timestamp := CASE TG_OP WHEN 'UPDATE' THEN NEW."createdAt" ELSE now() AT TIME ZONE 'UTC' END;
BEGIN
    IF TG_OP = 'UPDATE' AND (OLD."id", OLD."clerkUserId", OLD."planKey", OLD."status", OLD."eventType", OLD."occurredAt", OLD."createdAt")
            IS NOT DISTINCT FROM (NEW."id", NEW."clerkUserId", NEW."planKey", NEW."status", NEW."eventType", NEW."occurredAt", NEW."createdAt")
    THEN
        RETURN NULL;
    END IF;
    IF TG_OP = 'DELETE' OR TG_OP = 'UPDATE' AND (OLD."id", OLD."clerkUserId", OLD."planKey")
            IS DISTINCT FROM (NEW."id", NEW."clerkUserId", NEW."planKey")
    THEN
        DELETE FROM pedro_ledger.event_plan WHERE clerk_id = OLD."clerkUserId" AND event_id = OLD."id";
    END IF;
    IF TG_OP <> 'DELETE' THEN
        INSERT INTO pedro_ledger.event_plan (clerk_id, event_id, plan_id, plan_keys, reason, recorded_at)
        SELECT NEW."clerkUserId", NEW."id", found.plan_id, keys, found.reason, at
        FROM pedro_ledger.plan_keys_of(NEW."planKey", NEW."metadata") AS keys, pedro_ledger.meant_plan(keys, at) AS found
        ON CONFLICT (clerk_id, event_id) DO NOTHING;
    END IF;
    INSERT INTO pedro_ledger.plan_change (clerk_id)
    SELECT DISTINCT told FROM unnest(ARRAY[OLD."clerkUserId", NEW."clerkUserId"]) AS told WHERE told IS NOT NULL ORDER BY told;
    RETURN NULL;
END
$$;

DROP TRIGGER subscription_event_sets_the_plan ON public."SubscriptionEvent";
CREATE TRIGGER subscription_event_sets_the_plan AFTER INSERT OR UPDATE OR DELETE ON public."SubscriptionEvent"
    FOR EACH ROW EXECUTE FUNCTION pedro_ledger.follow_plan();

-- A user whose Clerk id changes is on the plan of the new one; so is whoever gets the old one.
CREATE FUNCTION pedro_ledger.follow_clerk_id() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    INSERT INTO pedro_ledger.plan_change (clerk_id) SELECT told FROM unnest(ARRAY[OLD."clerkId", NEW."clerkId"]) AS told ORDER BY told;
    RETURN NULL;
END
$$;

CREATE TRIGGER clerk_id_sets_the_plan AFTER UPDATE OF "clerkId" ON public."User"
    FOR EACH ROW WHEN (OLD."clerkId" IS DISTINCT FROM NEW."clerkId") EXECUTE FUNCTION pedro_ledger.follow_clerk_id();

CREATE FUNCTION pedro_ledger.follow_change() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    DELETE FROM pedro_ledger.plan_change WHERE clerk_id = NEW.clerk_id;
    IF FOUND THEN
        PERFORM pedro_ledger.derive_plan(NEW.clerk_id);
    END IF;
    RETURN NULL;
END
$$;

CREATE CONSTRAINT TRIGGER plan_change_sets_the_plan AFTER INSERT ON pedro_ledger.plan_change
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION pedro_ledger.follow_change();

-- An account starts with the plan of its user, whichever version of the daemon opens it.
CREATE FUNCTION pedro_ledger.start_with_plan() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    its_clerk_id text := (SELECT "clerkId" FROM public."User" WHERE "id" = NEW.user_id);
BEGIN
    IF its_clerk_id IS NOT NULL THEN
        PERFORM pedro_ledger.lock_plan(its_clerk_id);
        SELECT * INTO NEW.plan_id, NEW.plan_key FROM pedro_ledger.plan_in_force(its_clerk_id);
    END IF;
    RETURN NEW;
END
$$;

CREATE TRIGGER new_account_sets_the_plan BEFORE INSERT ON pedro_ledger.account
    FOR EACH ROW EXECUTE FUNCTION pedro_ledger.start_with_plan();
