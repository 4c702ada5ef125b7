-- What tells billing periods apart, and news of one second: a start may jitter, and Asaas tells no more than the second.

ALTER TABLE pedro_ledger.plan_period
    ADD COLUMN starts_at timestamptz(3),              -- where the provider tells it; null in rows of the version before
    ADD COLUMN ends_at   timestamptz(3),
    ADD COLUMN paid_no   bigint,                      -- number of the event behind paid_at among those of one second
    ADD COLUMN undone_no bigint;
