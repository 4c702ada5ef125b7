-- When each of some keys was last used, as far as a replica knows ($1 ids, $2 when).
UPDATE pedro_ledger.api_key SET last_used_at = greatest(last_used_at, used.at)
FROM unnest($1::text[], $2::timestamptz[]) AS used (id, at)
WHERE api_key.id = used.id
