-- The roles that were given the right to append entries, and so are app roles.
SELECT DISTINCT role.rolname::text AS name
FROM pg_class AS c
CROSS JOIN LATERAL aclexplode(c.relacl) AS granted
JOIN pg_roles AS role ON role.oid = granted.grantee
WHERE c.oid = 'pedro_ledger.entry'::regclass AND granted.privilege_type = 'INSERT' AND granted.grantee <> c.relowner
ORDER BY 1
