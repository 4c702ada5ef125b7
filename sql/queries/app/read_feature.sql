-- One feature, if it is of the workspace $2 (null for any).
SELECT to_jsonb(feature)::text
FROM public."Feature" AS feature
WHERE feature."id" = $1 AND ($2::text IS NULL OR feature."workspaceId" = $2)
