-- Whether this transaction is the one that folds now ($1 key of the lock); the lock goes with the transaction.
SELECT pg_try_advisory_xact_lock($1)
