-- Let deliveries about one subject ($1 provider, $2 subject) wait for each other until the transaction ends.
SELECT pg_advisory_xact_lock(hashtextextended('webhook:' || $1::text || ':' || $2::text, 0))
