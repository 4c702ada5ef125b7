-- Every key that was ever made, without its hash, oldest first.
SELECT id, name, scopes, workspace_id, created_at, expires_at, revoked_at, last_used_at
FROM pedro_ledger.api_key
ORDER BY created_at, id
