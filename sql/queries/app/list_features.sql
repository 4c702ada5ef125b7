-- Features, newest first: of one workspace ($1, null for all), before $2 createdAt and $3 id, at most $4.
SELECT to_jsonb(feature)::text
FROM public."Feature" AS feature
WHERE ($1::text IS NULL OR feature."workspaceId" = $1)
    AND ($2::timestamp IS NULL OR (feature."createdAt", feature."id") < ($2, $3::text))
ORDER BY feature."createdAt" DESC, feature."id" DESC
LIMIT $4
