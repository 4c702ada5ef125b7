-- Whether no migrator and no other keeper is at work; none will be until the transaction ends ($1 the migrators' lock).
SELECT pg_try_advisory_xact_lock($1)
