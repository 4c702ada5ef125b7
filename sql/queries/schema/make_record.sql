-- Our schema, and the record of what was applied to it.
CREATE SCHEMA IF NOT EXISTS pedro_ledger;
CREATE TABLE IF NOT EXISTS pedro_ledger.schema_migration (
    version    integer     NOT NULL PRIMARY KEY,
    name       text        NOT NULL,
    checksum   text        NOT NULL,
    adopted    boolean     NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
);
