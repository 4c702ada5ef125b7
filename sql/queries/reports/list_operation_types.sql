-- The app's operation types, in the order of their enum.
SELECT enumlabel::text AS name FROM pg_enum WHERE enumtypid = 'public."OperationType"'::regtype ORDER BY enumsortorder
