-- Webhooks: an inbox of what providers deliver, Asaas's subscriptions, and the billing periods that credits are owed for.
-- A delivery belongs to nobody before it is read, so its key starts with the provider; what belongs to a user starts with user_id.

CREATE TABLE pedro_ledger.webhook_delivery (
    provider    text           NOT NULL,              -- clerk or asaas
    event_id    text           NOT NULL,              -- the provider's; a repeated delivery carries it again
    event_type  text           NOT NULL,
    subject     text,                                 -- whom it is about in the provider's words: Clerk user, Asaas customer
    state       text           NOT NULL,
    user_id     text,                                 -- whom it turned out to be about
    record_id   text,                                 -- the "SubscriptionEvent" that it made
    payload     text,                                 -- kept while the user is not known, to apply it later
    attempts    integer        NOT NULL DEFAULT 0,
    next_try_at timestamptz    NOT NULL DEFAULT now(),
    occurred_at timestamptz(3) NOT NULL,
    received_at timestamptz    NOT NULL DEFAULT now(),
    CONSTRAINT webhook_delivery_pkey PRIMARY KEY (provider, event_id),
    CONSTRAINT webhook_delivery_state_known CHECK (state IN ('applied', 'pending', 'stale', 'ignored', 'rejected')),
    CONSTRAINT webhook_delivery_pending_is_whole CHECK (state <> 'pending' OR payload IS NOT NULL)
);

CREATE INDEX webhook_delivery_subject_idx ON pedro_ledger.webhook_delivery (provider, subject, occurred_at);
CREATE INDEX webhook_delivery_received_at_idx ON pedro_ledger.webhook_delivery (received_at);
CREATE INDEX webhook_delivery_pending_idx ON pedro_ledger.webhook_delivery (next_try_at) WHERE state = 'pending';

-- What Asaas calls a user's subscription and customer; by these its next event finds its user and plan.
CREATE TABLE pedro_ledger.asaas_subscription (
    user_id     text           NOT NULL,
    id          text           NOT NULL,
    customer_id text,
    plan_keys   text[]         NOT NULL,
    status      text           NOT NULL,              -- as in the newest "SubscriptionEvent" of it
    changed_at  timestamptz(3) NOT NULL,              -- when the newest event that is known happened
    CONSTRAINT asaas_subscription_pkey PRIMARY KEY (user_id, id)
);

CREATE INDEX asaas_subscription_id_idx ON pedro_ledger.asaas_subscription (id);
CREATE INDEX asaas_subscription_customer_idx ON pedro_ledger.asaas_subscription (customer_id);

-- What each billing period should have brought, and what the ledger has of it. Events may come in any order: the columns that
-- they write only ever move forward, and what is wanted follows from all of them. `step` counts the entries that were made:
-- odd when the credits are with the user. Each entry is made under a key that names the step, so none is made twice.
CREATE TABLE pedro_ledger.plan_period (
    user_id         text           NOT NULL,
    provider        text           NOT NULL,
    subscription_id text           NOT NULL,
    period          text           NOT NULL,          -- the charge (Asaas), the day on which the period starts (Clerk)
    plan_keys       text[]         NOT NULL,          -- what the plan may be called, until it is found
    plan_id         text,
    amount          integer,                          -- credits that the next or newest grant brings; null until the plan is found
    paid_at         timestamptz(3),                   -- newest news of payment
    undone_at       timestamptz(3),                   -- newest news of a chargeback
    refunded_at     timestamptz(3),                   -- refunds are final
    step            integer        NOT NULL DEFAULT 0,
    granted_seq     bigint,                           -- the newest grant's entry
    taking          integer,                          -- credits to take back, at most; fixed before they are asked for
    is_asked        boolean        NOT NULL DEFAULT false, -- the engine was asked for the next entry and may have made it
    attempts        integer        NOT NULL DEFAULT 0,
    next_try_at     timestamptz    NOT NULL DEFAULT now(),
    is_owed         boolean        NOT NULL GENERATED ALWAYS AS (
        is_asked
        OR (paid_at IS NOT NULL AND refunded_at IS NULL AND (undone_at IS NULL OR paid_at > undone_at)) <> (step % 2 = 1)) STORED,
    CONSTRAINT plan_period_pkey PRIMARY KEY (user_id, provider, subscription_id, period),
    CONSTRAINT plan_period_credits_not_negative CHECK (amount >= 0 AND taking >= 0)
);

CREATE INDEX plan_period_owed_idx ON pedro_ledger.plan_period (next_try_at) WHERE is_owed;

-- The plan that prices a Clerk user: of those that the newest event says are in force, the newest.
CREATE FUNCTION pedro_ledger.plan_of(clerk_id text) RETURNS text
    LANGUAGE sql STABLE AS $$
    SELECT newest.plan_key
    FROM (
        SELECT DISTINCT ON (event."planKey") event."planKey" AS plan_key, event."status" AS status,
            event."eventType" AS event_type, event."occurredAt" AS occurred_at, event."createdAt" AS created_at, event."id" AS id
        FROM public."SubscriptionEvent" AS event
        WHERE event."clerkUserId" = clerk_id AND event."planKey" IS NOT NULL
            -- These say nothing about which plan is in force.
            AND event."status" NOT IN ('incomplete', 'abandoned', 'upcoming', 'pending', 'paid', 'failed', 'refunded', 'chargeback')
        ORDER BY event."planKey", event."occurredAt" DESC, event."createdAt" DESC, event."id" DESC
    ) AS newest
    WHERE newest.status NOT IN ('ended', 'expired', 'deleted')
        -- Asaas tells no end after these, so they are it.
        AND newest.event_type NOT IN ('SUBSCRIPTION_DELETED', 'SUBSCRIPTION_INACTIVATED')
    ORDER BY newest.occurred_at DESC, newest.created_at DESC, newest.id DESC
    LIMIT 1
$$;

-- Whoever records a subscription event, the user is charged by its plan from then on. The account's revision moves with it, so
-- that no replica commits a charge that it decided by the prices of the plan before.
CREATE FUNCTION pedro_ledger.follow_plan() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    known  text;
    writer text := current_setting('pedro_ledger.writer', true);
BEGIN
    -- Locked first: only a statement that begins after the lock sees the events of those who held it.
    SELECT account.user_id INTO known
    FROM public."User" JOIN pedro_ledger.account ON account.user_id = "User"."id"
    WHERE "User"."clerkId" = NEW."clerkUserId"
    FOR UPDATE OF account;
    IF known IS NOT NULL THEN
        PERFORM set_config('pedro_ledger.writer', 'on', true);
        UPDATE pedro_ledger.account
        SET plan_key = pedro_ledger.plan_of(NEW."clerkUserId"), revision = account.revision + 1
        WHERE account.user_id = known AND account.plan_key IS DISTINCT FROM pedro_ledger.plan_of(NEW."clerkUserId");
        PERFORM set_config('pedro_ledger.writer', coalesce(writer, ''), true);
    END IF;
    RETURN NULL;
END
$$;

CREATE TRIGGER subscription_event_sets_the_plan AFTER INSERT OR UPDATE ON public."SubscriptionEvent"
    FOR EACH ROW EXECUTE FUNCTION pedro_ledger.follow_plan();
