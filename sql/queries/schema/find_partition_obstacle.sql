-- The first thing of the app's own that would not survive that its history becomes a partitioned table, and its cure.
SELECT obstacle FROM (
    SELECT 1 AS no, format('the view %s reads it and would go on reading the old rows alone: drop the view, and make it again afterwards',
        r.ev_class::regclass) AS obstacle
    FROM pg_depend AS d JOIN pg_rewrite AS r ON r.oid = d.objid
    WHERE d.classid = 'pg_rewrite'::regclass AND d.refclassid = 'pg_class'::regclass
        AND d.refobjid = 'public."UsageHistory"'::regclass AND r.ev_class <> d.refobjid
    UNION ALL
    SELECT 2, format('%s refers to it by the foreign key %I, which needs a primary key without the time: drop that key',
        conrelid::regclass, conname)
    FROM pg_constraint WHERE contype = 'f' AND confrelid = 'public."UsageHistory"'::regclass
    UNION ALL
    SELECT 3, format('its foreign key %I is not validated: ALTER TABLE "UsageHistory" VALIDATE CONSTRAINT %I', conname, conname)
    FROM pg_constraint AS c
    WHERE contype = 'f' AND conrelid = 'public."UsageHistory"'::regclass AND NOT convalidated
        AND coalesce(to_jsonb(c) ->> 'conenforced', 'true') = 'true'
    UNION ALL
    SELECT 4, format('the index %s is unique or not valid, and a partitioned table cannot have it: drop it', indexrelid::regclass)
    FROM pg_index
    WHERE indrelid = 'public."UsageHistory"'::regclass AND NOT indisprimary
        AND (indisunique OR indisexclusion OR NOT indisvalid) AND indexrelid <> coalesce(to_regclass(format('public.%I', $1::text)), 0)
    UNION ALL
    SELECT 5, format('its trigger %I is disabled, or sees the changed rows as a table: drop it, or enable it', tgname)
    FROM pg_trigger
    WHERE tgrelid = 'public."UsageHistory"'::regclass AND NOT tgisinternal
        AND (tgenabled <> 'O' OR tgtype & 1 = 1 AND (tgoldtable IS NOT NULL OR tgnewtable IS NOT NULL))
    UNION ALL
    SELECT 6, 'it has rules, row security, children or a parent, which are not carried over: remove them'
    FROM pg_class AS c
    WHERE c.oid = 'public."UsageHistory"'::regclass AND (c.relrowsecurity OR c.relispartition
        OR EXISTS (SELECT FROM pg_rewrite AS r WHERE r.ev_class = c.oid)
        OR EXISTS (SELECT FROM pg_policy AS p WHERE p.polrelid = c.oid)
        OR EXISTS (SELECT FROM pg_inherits AS i WHERE c.oid IN (i.inhparent, i.inhrelid)))
    UNION ALL
    SELECT 7, format('its column %I is an identity: make it an ordinary column with a default', attname)
    FROM pg_attribute WHERE attrelid = 'public."UsageHistory"'::regclass AND attnum > 0 AND attidentity <> ''
    UNION ALL
    SELECT 8, format('the publication %I names it, and would not name the new table: drop it from the publication, and add it afterwards', p.pubname)
    FROM pg_publication AS p JOIN pg_publication_rel AS r ON r.prpubid = p.oid
    WHERE r.prrelid = 'public."UsageHistory"'::regclass
    UNION ALL
    SELECT 9, format('the publication %I would publish each partition by its own name: ALTER PUBLICATION %I SET (publish_via_partition_root)',
        pubname, pubname)
    FROM pg_publication WHERE puballtables AND NOT pubviaroot
) AS found
ORDER BY no, obstacle
LIMIT 1
