-- Merge costs and token prices into the settings, which are made where they are missing.
-- $1 and $2 are JSON objects: costs by operation type, token prices by operation type and model; null removes. Two empty ones touch nothing.
INSERT INTO public."AdminSettings" AS settings ("id", "featureCosts", "createdAt", "updatedAt")
VALUES ('singleton', nullif(jsonb_strip_nulls($1::jsonb || jsonb_build_object('tokenPrices', nullif(jsonb_strip_nulls($2::jsonb), '{}'))), '{}'),
    now() AT TIME ZONE 'UTC', now() AT TIME ZONE 'UTC')
ON CONFLICT ("id") DO UPDATE SET
    "featureCosts" = CASE WHEN $1::jsonb = '{}' AND $2::jsonb = '{}' THEN settings."featureCosts" ELSE jsonb_strip_nulls(
        CASE jsonb_typeof(settings."featureCosts") WHEN 'object' THEN settings."featureCosts" ELSE '{}' END || $1::jsonb
        || CASE WHEN $2::jsonb = '{}' THEN '{}' ELSE jsonb_build_object('tokenPrices', nullif(jsonb_strip_nulls((
            SELECT coalesce(jsonb_object_agg(coalesce(known.key, told.key),
                CASE WHEN told.key IS NULL THEN known.value WHEN jsonb_typeof(told.value) = 'null' THEN NULL
                     ELSE nullif(jsonb_strip_nulls(CASE jsonb_typeof(known.value) WHEN 'object' THEN known.value ELSE '{}' END || told.value), '{}')
                END), '{}')
            FROM jsonb_each(CASE jsonb_typeof(settings."featureCosts" -> 'tokenPrices')
                            WHEN 'object' THEN settings."featureCosts" -> 'tokenPrices' ELSE '{}' END) AS known
            FULL JOIN jsonb_each($2::jsonb) AS told ON told.key = known.key
        )), '{}')) END) END,
    "updatedAt" = CASE WHEN $1::jsonb = '{}' AND $2::jsonb = '{}' THEN settings."updatedAt"
                       ELSE greatest(excluded."updatedAt", settings."updatedAt" + interval '1 millisecond') END
RETURNING to_jsonb(settings)::text
