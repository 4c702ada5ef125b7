-- Make a feature ($1 id, $2 workspaceId, $3 name, $4 description, $5 tags).
INSERT INTO public."Feature" ("id", "workspaceId", "name", "description", "tags", "createdAt", "updatedAt")
VALUES ($1, $2, $3, $4, $5, now() AT TIME ZONE 'UTC', now() AT TIME ZONE 'UTC')
RETURNING to_jsonb("Feature")::text
