-- How far the primary has written, and which cluster it is.
SELECT (pg_current_wal_insert_lsn() - '0/0'::pg_lsn)::bigint AS written, (SELECT system_identifier FROM pg_control_system()) AS cluster
