-- Merge costs ($1, a JSON object; null removes) into the settings, which are made where they are missing; untouched by an empty one.
INSERT INTO public."AdminSettings" AS settings ("id", "featureCosts", "createdAt", "updatedAt")
VALUES ('singleton', nullif(jsonb_strip_nulls($1::jsonb), '{}'), now() AT TIME ZONE 'UTC', now() AT TIME ZONE 'UTC')
ON CONFLICT ("id") DO UPDATE SET
    "featureCosts" = CASE WHEN $1::jsonb = '{}' THEN settings."featureCosts" ELSE jsonb_strip_nulls(
        CASE jsonb_typeof(settings."featureCosts") WHEN 'object' THEN settings."featureCosts" ELSE '{}' END || $1::jsonb) END,
    "updatedAt" = CASE WHEN $1::jsonb = '{}' THEN settings."updatedAt" ELSE greatest(excluded."updatedAt", settings."updatedAt" + interval '1 millisecond') END
RETURNING to_jsonb(settings)::text
