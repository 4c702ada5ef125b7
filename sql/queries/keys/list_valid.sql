-- The keys that are valid now, as the daemon compares them.
SELECT id, hash, scopes, workspace_id, extract(epoch FROM expires_at)::float8 AS expires_at_s
FROM pedro_ledger.api_key
WHERE revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now())
