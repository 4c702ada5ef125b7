-- How many files a user ($1) has, and bytes in all; the deleted apart.
SELECT jsonb_build_object(
    'userId', $1::text,
    'objects', count(*) FILTER (WHERE "deletedAt" IS NULL),
    'bytes', coalesce(sum("size"::bigint) FILTER (WHERE "deletedAt" IS NULL), 0),
    'deletedObjects', count("deletedAt"),
    'deletedBytes', coalesce(sum("size"::bigint) FILTER (WHERE "deletedAt" IS NOT NULL), 0))::text
FROM public."StorageObject"
WHERE "userId" = $1
