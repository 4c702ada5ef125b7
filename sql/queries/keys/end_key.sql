-- Let a key that is valid end in $2, or earlier where it ends earlier; at once, for good, where $2 is no time at all ($1 id).
-- The answer has the end that it had before.
UPDATE pedro_ledger.api_key AS key
SET expires_at = least(key.expires_at, now() + $2::interval),
    revoked_at = CASE WHEN $2::interval = interval '0' THEN now() END
FROM (SELECT id, expires_at FROM pedro_ledger.api_key WHERE id = $1 FOR UPDATE) AS before
WHERE key.id = before.id AND key.revoked_at IS NULL AND (key.expires_at IS NULL OR key.expires_at > now())
RETURNING key.name, key.scopes, key.workspace_id, before.expires_at
