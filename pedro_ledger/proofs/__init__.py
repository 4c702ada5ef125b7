"""Sealing the ledger: signed checkpoints, kept outside the database too."""
