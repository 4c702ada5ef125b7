-- A checkpoint, by the transaction's own write_guard.
WITH write_guard AS MATERIALIZED (SELECT set_config('pedro_ledger.writer', 'on', true) AS writer)
INSERT INTO pedro_ledger.checkpoint (number, line) SELECT $1, $2 FROM write_guard WHERE writer IS NOT NULL
