-- Grants that recur by a schedule: one row a schedule, one grant a period.

CREATE TABLE pedro_ledger.recurring_grant (
    user_id     text           NOT NULL,
    id          text           NOT NULL,              -- the caller's name for it
    credits     integer        NOT NULL,
    source      text           NOT NULL,
    priority    smallint,                             -- null: the source's own
    rollover    text,                                 -- JSON of the rule for what is left; null: nothing rolls over
    anchor      timestamptz(3) NOT NULL,              -- when period 0 begins; every period is counted from it
    unit        text           NOT NULL,
    every       integer        NOT NULL,              -- units that a period has
    time_zone   text           NOT NULL,              -- IANA
    generation  integer        NOT NULL DEFAULT 0,    -- moves when periods are counted anew; keys of grants carry it
    next_number integer        NOT NULL,              -- the period that is granted next, at the earliest
    next_at     timestamptz(3) NOT NULL,              -- when it begins
    try_at      timestamptz    NOT NULL,              -- not earlier than next_at; later where it was tried and refused
    granted_number integer,                           -- the newest period that was granted, of this generation
    granted_seq bigint,                               -- its entry
    missed      bigint         NOT NULL DEFAULT 0,    -- periods that went by without their grant
    attempts    integer        NOT NULL DEFAULT 0,
    reason      text,                                 -- why the last try brought no grant
    ended_at    timestamptz,                          -- nothing is granted any more
    updated_at  timestamptz(3) NOT NULL DEFAULT now(),
    CONSTRAINT recurring_grant_pkey PRIMARY KEY (user_id, id),
    CONSTRAINT recurring_grant_credits_positive CHECK (credits > 0),
    CONSTRAINT recurring_grant_unit_known CHECK (unit IN ('month', 'day')),
    CONSTRAINT recurring_grant_every_positive CHECK (every > 0)
);

CREATE INDEX recurring_grant_try_idx ON pedro_ledger.recurring_grant (try_at) WHERE ended_at IS NULL;
