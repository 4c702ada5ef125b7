"""Sealing the ledger: the key, the file outside the database, and the turn that makes a checkpoint."""
