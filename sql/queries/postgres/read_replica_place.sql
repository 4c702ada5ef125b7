-- How far the replica has replayed (null where it is none), and which cluster it copies.
SELECT CASE WHEN pg_is_in_recovery() THEN (pg_last_wal_replay_lsn() - '0/0'::pg_lsn)::bigint END AS replayed,
    (SELECT system_identifier FROM pg_control_system()) AS cluster
