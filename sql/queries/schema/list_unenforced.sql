-- Foreign keys of the app's history that the ledger's guards stand in for: statements that enforce each again, and that undo it.
SELECT c.conname::text AS name,
    format('ALTER TABLE public."UsageHistory" DROP CONSTRAINT %I, ADD CONSTRAINT %I %s NOT VALID', c.conname, c.conname,
        replace(pg_get_constraintdef(c.oid), ' NOT ENFORCED', '')) AS enforcement,
    format('ALTER TABLE public."UsageHistory" VALIDATE CONSTRAINT %I', c.conname) AS validation,
    format('ALTER TABLE public."UsageHistory" ALTER CONSTRAINT %I NOT ENFORCED', c.conname) AS undoing
FROM pg_constraint AS c
WHERE c.conrelid = 'public."UsageHistory"'::regclass AND c.contype = 'f' AND c.conparentid = 0
    AND coalesce(to_jsonb(c) ->> 'conenforced', 'true') = 'false'
ORDER BY 1
