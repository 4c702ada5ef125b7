-- Whether this session is the one that seals now ($1 key of the lock); the lock goes with the session.
SELECT pg_try_advisory_lock($1)
