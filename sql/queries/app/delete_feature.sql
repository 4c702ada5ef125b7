-- Delete a feature ($1), if it is of the workspace $2 (null for any).
DELETE FROM public."Feature" AS feature
WHERE feature."id" = $1 AND ($2::text IS NULL OR feature."workspaceId" = $2)
RETURNING to_jsonb(feature)::text
