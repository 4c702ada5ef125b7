-- Revoke a key from now on ($1 id); one that was revoked stays revoked since then.
UPDATE pedro_ledger.api_key SET revoked_at = coalesce(revoked_at, now())
WHERE id = $1
RETURNING id, name, scopes, workspace_id, created_at, expires_at, revoked_at, last_used_at
