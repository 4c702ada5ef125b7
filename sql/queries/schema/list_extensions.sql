-- Extensions whose types and functions the tables may use.
SELECT e.extname AS name
FROM pg_extension AS e JOIN pg_namespace AS n ON n.oid = e.extnamespace
WHERE n.nspname IN ('public', 'pedro_ledger')
ORDER BY 1
