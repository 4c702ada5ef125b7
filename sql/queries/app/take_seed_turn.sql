-- Wait until no other session seeds; the turn ends with the session.
SELECT pg_advisory_lock(hashtext('pedro_ledger.seed'))
