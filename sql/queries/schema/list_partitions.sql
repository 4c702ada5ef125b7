-- The partitions of the app's history, oldest first, the one for all other times last.
SELECT c.relname AS name,
    substring(bound.expression FROM $q$FROM \('([^']+)'\)$q$)::timestamp AS starts,
    substring(bound.expression FROM $q$TO \('([^']+)'\)$q$)::timestamp AS ends,
    bound.expression = 'DEFAULT' AS is_default
FROM pg_inherits AS i
JOIN pg_class AS c ON c.oid = i.inhrelid
CROSS JOIN LATERAL (SELECT pg_get_expr(c.relpartbound, c.oid) AS expression) AS bound
WHERE i.inhparent = 'public."UsageHistory"'::regclass
ORDER BY bound.expression = 'DEFAULT', ends
