-- How the app's history lies, and what the next months need to know ($1 the name of the constraint that bounds it while it is turned).
SELECT c.relkind = 'p' AS is_partitioned,
    pg_get_userbyid(c.relowner) AS owner,
    c.reltuples::bigint AS rows_about,
    pg_total_relation_size(c.oid) AS bytes,
    (SELECT max("timestamp") FROM public."UsageHistory") AS newest,
    now() AT TIME ZONE 'UTC' AS at,
    EXISTS (SELECT FROM pg_constraint AS bound WHERE bound.conrelid = c.oid AND bound.conname = $1) AS is_bounded
FROM pg_class AS c
WHERE c.oid = 'public."UsageHistory"'::regclass
