-- Whether the ledger is out of use, and whether its sums of the history are unfinished. By the catalogue: any role may look.
SELECT to_regclass('pedro_ledger.departure') IS NOT NULL AS is_away,
    to_regclass('pedro_ledger.history_summing') IS NOT NULL AS is_unsummed
