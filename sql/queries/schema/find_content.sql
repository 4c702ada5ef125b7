-- Something that a restore would meet: a table, a type or a routine of either schema, the app's tables first.
SELECT content FROM (
    SELECT CASE n.nspname WHEN 'public' THEN 1 ELSE 2 END AS no, format('the table %I.%I', n.nspname, c.relname) AS content
    FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE n.nspname IN ('public', 'pedro_ledger') AND c.relkind IN ('r', 'p', 'v', 'm', 'S', 'f')
    UNION ALL
    SELECT 3, format('the type %I.%I', n.nspname, t.typname)
    FROM pg_type AS t JOIN pg_namespace AS n ON n.oid = t.typnamespace
    WHERE n.nspname IN ('public', 'pedro_ledger') AND t.typtype IN ('e', 'd', 'r')
        AND NOT EXISTS (SELECT FROM pg_depend AS d WHERE d.classid = 'pg_type'::regclass AND d.objid = t.oid AND d.deptype = 'e')
    UNION ALL
    SELECT 4, 'the schema pedro_ledger' FROM pg_namespace WHERE nspname = 'pedro_ledger'
) AS found
ORDER BY no, content
LIMIT 1
