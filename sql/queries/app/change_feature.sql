-- Change the columns of a feature ($1, of workspace $2 or any) that a JSON object ($3) names.
UPDATE public."Feature" AS feature
SET ("name", "description", "tags", "updatedAt") = (
    SELECT "name", "description", "tags", now() AT TIME ZONE 'UTC' FROM jsonb_populate_record(feature, $3::jsonb))
WHERE feature."id" = $1 AND ($2::text IS NULL OR feature."workspaceId" = $2)
RETURNING to_jsonb(feature)::text
