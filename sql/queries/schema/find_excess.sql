-- The first power of the role $1 that lets it change or remove what must stay, in words.
WITH role AS (
    SELECT oid, rolsuper, rolcreaterole FROM pg_roles WHERE rolname = $1
),
guarded AS (
    SELECT c.oid, c.oid::regclass::text AS name, c.relowner, right_needed
    FROM pg_class AS c
    CROSS JOIN (VALUES ('UPDATE'), ('DELETE'), ('TRUNCATE'), ('TRIGGER')) AS rights (right_needed)
    WHERE c.oid IN ('pedro_ledger.entry'::regclass, 'public."UsageHistory"'::regclass)
)
SELECT excess FROM (
    SELECT 1 AS no, 'is a superuser' AS excess FROM role WHERE rolsuper
    UNION ALL
    SELECT 2, format('owns %s, or may act as its owner', guarded.name) FROM role, guarded
    WHERE pg_has_role(role.oid, guarded.relowner, 'MEMBER')
    UNION ALL
    SELECT 3, 'may make itself a member of other roles (CREATEROLE)' FROM role WHERE rolcreaterole
    UNION ALL
    SELECT 4, format('is a member of %s', power) FROM role,
        unnest(ARRAY['pg_write_all_data', 'pg_write_server_files', 'pg_execute_server_program']) AS power
    WHERE pg_has_role(role.oid, power, 'MEMBER')
    UNION ALL
    SELECT 5, format('has %s on %s', right_needed, guarded.name) FROM role, guarded
    WHERE has_table_privilege(role.oid, guarded.oid, right_needed)
        OR right_needed = 'UPDATE' AND has_any_column_privilege(role.oid, guarded.oid, right_needed)
) AS found
ORDER BY no, excess
LIMIT 1
