-- Views and columns of others that would go with the ledger's schema.
SELECT DISTINCT pg_describe_object(d.classid, d.objid, d.objsubid) AS dependent
FROM pg_depend AS d
JOIN pg_class AS ours ON d.refclassid = 'pg_class'::regclass AND ours.oid = d.refobjid
JOIN pg_rewrite AS r ON d.classid = 'pg_rewrite'::regclass AND r.oid = d.objid
JOIN pg_class AS theirs ON theirs.oid = r.ev_class
WHERE ours.relnamespace = to_regnamespace('pedro_ledger') AND theirs.relnamespace <> ours.relnamespace
UNION
SELECT DISTINCT pg_describe_object(d.classid, d.objid, d.objsubid)
FROM pg_depend AS d
JOIN pg_proc AS ours ON d.refclassid = 'pg_proc'::regclass AND ours.oid = d.refobjid
JOIN pg_class AS theirs ON d.classid = 'pg_class'::regclass AND theirs.oid = d.objid
WHERE ours.pronamespace = to_regnamespace('pedro_ledger') AND theirs.relnamespace <> ours.pronamespace
ORDER BY 1
