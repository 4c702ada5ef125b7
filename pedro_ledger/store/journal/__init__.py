"""The append-only journal and the accounts that follow from it."""
