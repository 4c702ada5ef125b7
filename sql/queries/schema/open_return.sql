-- What this transaction writes is the ledger's own, also while the ledger is out of use.
SELECT set_config('pedro_ledger.writer', 'on', true), set_config('pedro_ledger.books', '2', true),
    set_config('pedro_ledger.returning', 'on', true)
