-- The statements that make the app's history a partitioned table with the old table as its first partition, in order.
-- ($1 the old table's new name, $2 its unique index on id and time, $3 the constraint that bounds it, $4 the bound).
WITH history AS (
    SELECT 'public."UsageHistory"'::regclass AS oid, format('public.%I', $1::text) AS old, substring($1 FROM 13) AS suffix
),
own_index AS (
    SELECT i.indexrelid AS oid, c.relname AS name, i.indisprimary
    FROM history JOIN pg_index AS i ON i.indrelid = history.oid JOIN pg_class AS c ON c.oid = i.indexrelid
    WHERE c.relname <> $2
),
statement AS (
    SELECT 1 AS no, name, format('ALTER TABLE public."UsageHistory" DROP CONSTRAINT %I', name) AS text FROM own_index WHERE indisprimary
    UNION ALL
    SELECT 2, '', format('ALTER TABLE public."UsageHistory" ADD CONSTRAINT %I PRIMARY KEY USING INDEX %I', left($1, 58) || '_pkey', $2)
    UNION ALL
    -- The names that Prisma knows are for the table that Prisma sees.
    SELECT 3, name, format('ALTER INDEX public.%I RENAME TO %I', name, left(name, 63 - length(history.suffix)) || history.suffix)
    FROM history, own_index WHERE NOT indisprimary
    UNION ALL
    SELECT 4, tgname, format('DROP TRIGGER %I ON public."UsageHistory"', tgname)
    FROM history JOIN pg_trigger ON tgrelid = history.oid WHERE NOT tgisinternal AND tgtype & 1 = 1
    UNION ALL
    SELECT 5, '', format('ALTER TABLE public."UsageHistory" RENAME TO %I', $1)
    UNION ALL
    SELECT 6, '', format('CREATE TABLE public."UsageHistory" (LIKE %s INCLUDING DEFAULTS INCLUDING GENERATED INCLUDING STORAGE '
        'INCLUDING COMPRESSION INCLUDING COMMENTS) PARTITION BY RANGE ("timestamp")', old) FROM history
    UNION ALL
    SELECT 7, '', format('ALTER TABLE public."UsageHistory" OWNER TO %I', pg_get_userbyid(c.relowner))
    FROM history JOIN pg_class AS c ON c.oid = history.oid WHERE pg_get_userbyid(c.relowner) <> current_user
    UNION ALL
    SELECT 8, name, format('ALTER TABLE public."UsageHistory" ADD CONSTRAINT %I PRIMARY KEY ("id", "timestamp")', name)
    FROM own_index WHERE indisprimary
    UNION ALL
    SELECT 9, name, pg_get_indexdef(oid) FROM own_index WHERE NOT indisprimary
    UNION ALL
    SELECT 10, conname, format('ALTER TABLE public."UsageHistory" ADD CONSTRAINT %I %s', conname, pg_get_constraintdef(c.oid))
    FROM history JOIN pg_constraint AS c ON c.conrelid = history.oid WHERE contype IN ('c', 'f') AND conname <> $3
    UNION ALL
    SELECT 11, tgname, pg_get_triggerdef(t.oid) FROM history JOIN pg_trigger AS t ON tgrelid = history.oid WHERE NOT tgisinternal
    UNION ALL
    SELECT 12, a.grantee::text || a.privilege_type, format('GRANT %s ON public."UsageHistory" TO %s%s', a.privilege_type,
        CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END,
        CASE WHEN a.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END)
    FROM history JOIN pg_class AS c ON c.oid = history.oid CROSS JOIN LATERAL aclexplode(c.relacl) AS a WHERE a.grantee <> c.relowner
    UNION ALL
    SELECT 13, t.attname || a.grantee::text, format('GRANT %s (%I) ON public."UsageHistory" TO %s%s', a.privilege_type, t.attname,
        CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END,
        CASE WHEN a.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END)
    FROM history JOIN pg_attribute AS t ON t.attrelid = history.oid CROSS JOIN LATERAL aclexplode(t.attacl) AS a
    UNION ALL
    SELECT 14, '', format('ALTER TABLE public."UsageHistory" ATTACH PARTITION %s FOR VALUES FROM (MINVALUE) TO (%L)', old, $4::timestamp)
    FROM history
    UNION ALL
    SELECT 15, '', format('ALTER TABLE %s DROP CONSTRAINT %I', old, $3) FROM history
)
SELECT text FROM statement ORDER BY no, name COLLATE "C"
