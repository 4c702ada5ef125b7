-- Spend limits of the users of a plan, and of all. A user's own are in account.open_items, beside what was spent: whoever decides
-- sees both as of one revision.
CREATE TABLE pedro_ledger.spend_limit (
    id             text           NOT NULL PRIMARY KEY,
    credits        integer        NOT NULL CHECK (credits >= 0),
    "window"       text           NOT NULL CHECK ("window" IN ('day', 'month')),
    time_zone      text           NOT NULL,           -- IANA; where its days and months begin
    operation_type text,                              -- null: of any type
    on_behalf_of   text,                              -- null: for anybody
    plan_id        text,                              -- "Plan"."id"; null: of all users
    updated_at     timestamptz(3) NOT NULL DEFAULT now()
);
