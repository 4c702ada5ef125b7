-- A checkpoint, by the transaction's own permit.
WITH permit AS MATERIALIZED (SELECT set_config('pedro_ledger.writer', 'on', true) AS writer)
INSERT INTO pedro_ledger.checkpoint (number, line) SELECT $1, $2 FROM permit WHERE writer IS NOT NULL
