-- Plan credits that expire: on which terms a period's credits are granted, and how long an Asaas subscription's periods are.

ALTER TABLE pedro_ledger.plan_period ADD COLUMN terms text;        -- JSON; fixed before the grant is asked for, null where it never ends
ALTER TABLE pedro_ledger.asaas_subscription ADD COLUMN cycle text; -- in Asaas's words; null while no event told it
