-- What was applied, in order.
SELECT version, name, checksum, adopted, applied_at FROM pedro_ledger.schema_migration ORDER BY version
