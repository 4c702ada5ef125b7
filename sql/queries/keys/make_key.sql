-- A new key ($1 id, $2 name, $3 its SHA-256, $4 scopes, $5 workspace, $6 when it expires).
INSERT INTO pedro_ledger.api_key (id, name, hash, scopes, workspace_id, expires_at)
VALUES ($1, $2, $3, $4, $5, $6)
RETURNING id, name, scopes, workspace_id, created_at, expires_at, revoked_at, last_used_at
