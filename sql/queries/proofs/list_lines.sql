-- Every checkpoint's line, oldest first.
SELECT line FROM pedro_ledger.checkpoint ORDER BY number
