-- One migration was applied, or found to be there already.
INSERT INTO pedro_ledger.schema_migration (version, name, checksum, adopted) VALUES ($1, $2, $3, $4)
