-- Let a key that is valid end in $2, or earlier where it ends earlier; at once, for good, where $2 is no time at all ($1 id).
UPDATE pedro_ledger.api_key
SET expires_at = least(expires_at, now() + $2::interval),
    revoked_at = CASE WHEN $2::interval = interval '0' THEN now() END
WHERE id = $1 AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now())
RETURNING name, scopes, workspace_id
